"""The folder that a selection writes."""

import numpy as np
import pytest

from cellgan_plugin.selection.folder import SelectionFolder
from cellgan_plugin.selection.image_tree import ImageTree, SelectionError


@pytest.mark.parametrize('split', ['val', None])
def test_a_selection_from_another_split_is_not_written_over(tmp_path, split):
    """Its images would stay in the class folders."""
    record = dict(candidates=str(tmp_path / 'pool'), candidates_split='train')
    folder = SelectionFolder(tmp_path / 'out')
    folder.write_record(record)

    def tree(split):
        return ImageTree(tmp_path / 'pool', [], np.zeros(0, np.int64), {}, split)

    folder.check(tree('train'))
    with pytest.raises(SelectionError, match='a selection from .*pool:train, not from .*pool'):
        folder.check(tree(split))
