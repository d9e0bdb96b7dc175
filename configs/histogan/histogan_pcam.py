# The paper's run on PatchCamelyon (Sec. 4.1, 4.2.1): two classes at 96x96, two stages, 1,000 epochs
# of 32,768 training patches (10 %), batch 256. To choose the checkpoint: histogan_pcam_fd.py.
# Where the data lies: CELLGAN_PCAM_ROOT, class folders with a manifest.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/tissue_patches_256x128.py',
    '../_base_/models/histogan_96.py',
    '../_base_/schedules/adam_wgan_gp.py',
]
train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        data_root='{{$CELLGAN_PCAM_ROOT:data/pcam}}',
        metainfo=dict(classes=['normal', 'tumor']),
        pipeline=[
            dict(type='FitCellPatch', out_size=96),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
train_cfg = dict(max_iters=128_000)
