# Table 2, Model i: Model ii without the PatchGAN logits (one logit for the whole image).
_base_ = 'model_ii.py'
model = dict(discriminator=dict(head='global'))
