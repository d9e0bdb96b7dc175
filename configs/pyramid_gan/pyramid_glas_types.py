# Algorithm 2 on the six categories of GlaS: stroma and five types of glands (Sec. 4.4.1).
_base_ = 'pyramid_glas.py'
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
val_dataloader = dict(dataset=types)
test_dataloader = val_dataloader
