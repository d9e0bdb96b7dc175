"""Lists of images that a selection reads."""

import pytest

from cellgan_plugin.selection.image_tree import SelectionError, read_tree


@pytest.mark.parametrize('form', ['{0},{1},{2}', '"{0}","{1}","{2}"'], ids=['plain', 'quoted'])
def test_a_manifest_of_several_splits_needs_one_named(tmp_path, form):
    """R's write.csv quotes the header, too; splits that are not seen would let test images in."""
    rows = [('file', 'label', 'split'), ('A/1.png', 'A', 'train'), ('A/2.png', 'A', 'test')]
    (tmp_path / 'manifest.csv').write_text(''.join(form.format(*row) + '\n' for row in rows))
    (tmp_path / 'A').mkdir()
    for name in ('1.png', '2.png'):
        (tmp_path / 'A' / name).touch()
    with pytest.raises(SelectionError, match='has the splits .*say which one'):
        read_tree(tmp_path, ('A', 'B'), 'real images', need_split=True)
    assert read_tree(f'{tmp_path}:train', ('A', 'B'), 'real images').files == ['A/1.png']
