# Algorithm 1 on the gland phantom: only generation.
_base_ = 'pyramid_phantom.py'
model = dict(segmenter=None)
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
