"""Phantom tissue: procedural squamous epithelium of four grades whose truth is known."""

from .patch import NucleusRecord, TissuePatch, TissueRecord, generate_tissue_phantom

__all__ = ['NucleusRecord', 'TissuePatch', 'TissueRecord', 'generate_tissue_phantom']
