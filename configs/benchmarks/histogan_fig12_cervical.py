# Fig. 12 (HistoGAN, Sec. 4.3.3): selective augmentation with pools of 2N to 8N candidates and ratios r of
# 0.4 to 1.0. Smaller pools are the first images of the largest, which is made and scored once. The work
# directory of Table 1 provides the generator and finished trainings:
#   python tools/benchmark.py configs/benchmarks/histogan_fig12_cervical.py --work-dir work_dirs/histogan_table1_cervical
_base_ = 'histogan_table1_cervical.py'
sweep = dict(
    generator='HistoGAN',
    rule='selective',
    pools=[2, 4, 6, 8],
    ratios=[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
