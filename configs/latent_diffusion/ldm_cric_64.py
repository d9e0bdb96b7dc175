# Stage 2 of latent diffusion on CRIC Cervix patches at 64 px, sized for two CPU cores. First train stage 1:
#   python tools/train.py configs/latent_diffusion/autoencoder_cric_64.py
# CELLGAN_AUTOENCODER: its work directory (default: work_dirs/autoencoder_cric_64). For class
# folders without a manifest add
# --cfg-options train_dataloader.dataset.ann_file= train_dataloader.dataset.split=None
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/ldm_64_small.py',
    '../_base_/schedules/ldm_short.py',
]
model = dict(
    autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:work_dirs/autoencoder_cric_64}}',
    autoencoder_config='configs/latent_diffusion/autoencoder_cric_64.py')
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip'))
train_cfg = dict(max_iters=6000)
