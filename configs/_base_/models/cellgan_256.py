# CellGAN at 256 px (Sec. 2, Fig. 1).
model = dict(
    type='CellGAN',
    num_classes=5,
    noise_size=128,  # Sec. 2.1
    generator=dict(
        type='CellGANGenerator',
        out_size=256,
        base_channels=32,  # Fig. 1: 512, 512, 256, 256, 128, 64, 32 at 4..256
        mapping_depth=4,  # Sec. 2.1
        skip_type='sgc',
        sgc_fusion='add'),
    discriminator=dict(
        type='CellGANDiscriminator',
        in_size=256,
        base_channels=32,
        head='patch'),
    adversarial_loss=dict(type='HingeGANLoss'),
    reconstruction_loss=dict(type='ReconstructionLoss', loss_weight=1.0),  # Eq. (2)
    r1_loss=dict(type='R1Penalty', loss_weight=0.01),  # Sec. 2.2
    augment=dict(type='DiffAugment', policy=['color', 'translation']),  # Sec. 3.1
    fake_labels='data',
    # Decay 0.999 from iteration 1000: the authors' program.
    ema_config=dict(type='ForeachEMA', momentum=0.001, start_iter=1000))
