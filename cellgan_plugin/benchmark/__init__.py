"""The augmentation benchmark's arithmetic: folds, leaks, scores, statistics.

Pure functions of lists and arrays; nothing here trains. Not imported by :mod:`cellgan_plugin`.
"""
