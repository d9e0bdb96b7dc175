# Algorithm 1: only generation (Table 1).
_base_ = 'pyramid_glas.py'
model = dict(segmenter=None)
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = test_cfg = test_evaluator = None
