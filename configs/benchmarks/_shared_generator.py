# A laboratory shares a generator in place of its patients' images. The generator was trained on many images
# of other slides; the classifiers have few real images. Rows for 20, 50 and 100 real training images per
# class, which are 20, 50 and 100 % of four fifths of 125. The inheriting config names data and generators.
classes = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']
classifiers = dict(ResNet='../classifiers/benchmark_resnet18_64.py')
_added = dict(ratio=8, pool=16)  # synthetic images, and candidates, of each class per real one
rows = {
    'Traditional augmentation': dict(
        transforms=[
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
            dict(type='RandomTissueColor', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02),
        ]),
    'CellGAN': dict(generator='CellGAN', rule='none', **_added),
    'CellGAN, selected': dict(generator='CellGAN', rule='selective', **_added),
    'CellGAN first, then real images': dict(generator='CellGAN', use='first', **_added),
    'CellGAN alone': dict(generator='CellGAN', use='alone', **_added),
}
selection = dict(passes=5, seed=0)
num_folds = 5
per_class = 125
shares = [0.2, 0.5, 1.0]
seeds = [0, 1, 2]
steps = 400  # of every row
