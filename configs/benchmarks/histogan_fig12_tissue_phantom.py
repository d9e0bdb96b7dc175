# Fig. 12 on the tissue phantom, after histogan_table1_tissue_phantom.py and in its work directory:
#   python tools/benchmark.py configs/benchmarks/histogan_fig12_tissue_phantom.py --jobs 2 \
#       --work-dir work_dirs/histogan_table1_tissue_phantom
_base_ = 'histogan_table1_tissue_phantom.py'
sweep = dict(generator='HistoGAN', rule='selective', pools=[2, 4, 8], ratios=[0.4, 0.7, 1.0])
