# The three networks of a scale (Fig. 1). Numbers that the paper does not give have their source
# beside them; see docs/pyramid_gan.md.
model = dict(
    type='PyramidGAN',
    num_classes=2,
    generator=dict(
        type='PyramidGenerator',  # pix2pixHD's global generator, narrower
        base_channels=32,  # SinGAN
        num_downsamples=2,
        num_blocks=6),
    discriminator=dict(
        type='PyramidDiscriminator',
        num_discriminators=3,  # Sec. 3.1.2: factors 1, 2, 4
        base_channels=64,  # pix2pixHD
        num_layers=3),  # pix2pixHD
    segmenter=dict(
        type='FCDenseNet',  # 42 layers, 1.04 M parameters (Sec. 3.2)
        first_channels=48,  # FC-DenseNet
        growth_rate=14,
        block_layers=[3, 3, 4, 4],
        bottleneck_layers=4,
        dropout=0.2),  # FC-DenseNet
    noise_std=[1.0, 0.1],  # SinGAN: coarsest scale, finer scales
    segmenter_noise=0.05,
    init_from_coarser=True,  # SinGAN
    adversarial_loss=dict(type='PatchAdversarialLoss', mode='vanilla'),  # Eq. (6)
    reconstruction_loss=dict(type='ImageReconstructionLoss', loss_weight=0.001),  # alpha
    feature_matching_loss=dict(type='FeatureMatchingLoss', loss_weight=10.0),  # beta
    # gamma; off unless CELLGAN_VGG_WEIGHTS names a file of torchvision's VGG-19. Layers and their
    # weights: pix2pixHD.
    perceptual_loss=dict(
        type='VGGPerceptualLoss',
        arch='vgg19',
        distance='l1',
        layers=[1, 6, 11, 20, 29],
        layer_weights=[1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0],
        loss_weight=10.0),
    cross_entropy_weight=1.0,  # alpha', Sec. 3.4
    synthetic_weight=0.03,  # Sec. 3.4
    synthetic_start=100)  # epochs of a scale, Sec. 3.4
