# Algorithm 3 that also sees the test images, without their masks (Table 4, "Ours (transductive)").
_base_ = 'pyramid_glas_semi.py'
train_dataloader = dict(dataset=dict(transductive=['testA', 'testB']))
