"""Masks: segment whole images, evaluate masks, and the benchmark of methods by labels."""
