"""What is behind the images of a folder: those that trained the generator that made them."""

from pathlib import Path
from typing import Optional, Sequence, Set

from cellgan_plugin.benchmark.rows import Generator
from cellgan_plugin.benchmark.synthetic import HashCache, SyntheticFolder, data_folder_files
from cellgan_plugin.datasets.content_hash import group_hashes, to_hex, training_images_file
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, iter_manifest
from cellgan_plugin.runs.provenance import training_groups_of, training_images_of


def images_behind(
    generator: Generator, root: str, contents: Sequence[str], cache: HashCache
) -> Optional[Set[str]]:
    """Hashes of the images behind a folder; None: unknown.

    Args:
        generator (Generator): With a ``folder``.
        root (str): The folder.
        contents (Sequence[str]): Hashes of its images.
        cache (HashCache): Of the work directory.
    """
    source = generator.trained_on
    if source is None:
        return training_images_of(root)
    if source == 'itself':
        return set(contents)
    path = Path(source).expanduser()
    if path.is_dir() and not training_images_file(path).is_file():
        known = training_images_of(path)  # a work directory with a checkpoint
        if known is not None:
            return known
        files = data_folder_files(path)
        return set(to_hex(cache.hashes(files, f'Hashing images of {path.name}')))
    return training_images_of(path)


def groups_behind(generator: Generator, found: SyntheticFolder) -> Set[str]:
    """Groups of the images behind a folder, as far as it is said.

    Args:
        generator (Generator): With a ``folder``.
        found (SyntheticFolder): What was read of it.

    Returns:
        set[str]: See :func:`~cellgan_plugin.runs.provenance.training_groups_of`.
    """
    source = generator.trained_on
    if source is None:
        return training_groups_of(found.root)
    if source == 'itself':
        return set(to_hex(group_hashes(patch.group or '' for patch in found.patches)))
    path = Path(source).expanduser()
    if path.is_dir() and not training_images_file(path).is_file():
        if (path / MANIFEST_NAME).is_file():
            rows = iter_manifest(path / MANIFEST_NAME)
            return set(to_hex(group_hashes((row.get('group') or '') for _, row in rows)))
    return training_groups_of(path)
