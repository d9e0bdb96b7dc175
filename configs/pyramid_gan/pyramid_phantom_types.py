# Algorithm 1 on the six categories of the gland phantom, to change the class of glands in a mask and
# generate again (Sec. 4.2.1, Fig. 4c).
_base_ = 'pyramid_phantom_generation.py'
types = dict(
    metainfo=dict(
        classes=[
            'stroma', 'healthy', 'adenomatous', 'moderately differentiated',
            'moderately-to-poorly differentiated', 'poorly differentiated'
        ]),
    instances='label',
    label_column='category')
model = dict(num_classes=6)
train_dataloader = dict(dataset=types)
