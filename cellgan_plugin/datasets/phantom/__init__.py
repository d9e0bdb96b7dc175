from .patch import CellRecord, PhantomPatch, generate_phantom

__all__ = ['CellRecord', 'PhantomPatch', 'generate_phantom']
