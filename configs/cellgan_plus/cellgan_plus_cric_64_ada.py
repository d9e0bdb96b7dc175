# cellgan_plus_cric_64.py with an augmentation that grows as the discriminator memorises its few hundred images
# (ADA, Karras et al. 2020).
_base_ = 'cellgan_plus_cric_64.py'
model = dict(
    augment=dict(
        type='AdaptiveAugment',
        policy=['color', 'translation', 'cutout'],
        # Of pairs: at the loss of chance, 0.69, it is 0, and it was above a half where images became worse.
        target=0.3,
        # 3,125 iterations of 16.
        ramp_images=50_000))
