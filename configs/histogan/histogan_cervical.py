# The paper's run on cervical epithelium (Sec. 4.1, 4.2.1): four grades at 256x128 (height x width),
# three stages, 1,000 epochs of the 1,853 training images (7:1:2 by patient), batch 64.
# histogan_cervical_fd.py also chooses the checkpoint as the paper does.
# Data: CELLGAN_CERVICAL_ROOT, or --cfg-options train_dataloader.dataset.data_root=DIR
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/tissue_patches_256x128.py',
    '../_base_/models/histogan_256x128.py',
    '../_base_/schedules/adam_wgan_gp.py',
]
