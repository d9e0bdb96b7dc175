# The paper's run on PatchCamelyon (Sec. 4.1, 4.2.1): two classes at 96x96, two stages, 1,000 epochs
# of 32,768 training patches, batch 256. The paper says 10 % and 32,768 patches, but 10 % of the published
# 262,144 are 26,214; 32,768 are 12.5 %.
# First: python tools/dataset_converters/pcam.py PCAM --out data/pcam --fraction 0.125
# histogan_pcam_fd.py also chooses the checkpoint. Data: CELLGAN_PCAM_ROOT.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/pcam_96.py',
    '../_base_/models/histogan_96.py',
    '../_base_/schedules/adam_wgan_gp.py',
]
train_cfg = dict(max_iters=128_000)
