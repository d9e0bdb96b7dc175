"""Importing this module registers transformers' Adafactor, see :mod:`lazy_imports`."""

from mmengine.optim.optimizer import builder

builder.TRANSFORMERS_OPTIMIZERS.extend(builder.register_transformers_optimizers())
