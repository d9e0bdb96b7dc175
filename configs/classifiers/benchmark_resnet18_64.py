# A ResNet-18 with a quarter of the channels at 64 px, for benchmarks in minutes on a CPU. Not the paper's
# settings: AdamW with warm-up and cosine decay learns in a hundred steps.
_base_ = 'resnet18_phantom.py'

model = dict(head=dict(cal_acc=True))
train_dataloader = dict(dataset=dict(cache='ram'))
val_dataloader = dict(dataset=dict(cache='ram'))
test_dataloader = val_dataloader
