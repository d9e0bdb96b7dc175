import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.runs.folder_sheet import folder_sheet
from cellgan_plugin.runs.smoothed_distances import smoothed_distances

REPO = Path(__file__).parents[2]


def run_tool(name, arguments, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    runpy.run_path(str(REPO / 'tools' / name), run_name='__main__')


def test_each_alpha_chooses_its_minimum(tmp_path, capsys, monkeypatch):
    """Fig. 4: a lucky single checkpoint wins as measured, and not once it is smoothed."""
    values = [10.0, 8.0, 1.0, 9.0, 5.0, 4.0, 4.0, 6.0]
    curve = [[100 * (i + 1), v] for i, v in enumerate(values)]
    state = dict(metric='FD(DINOv2 ViT-L/14)/mean', alpha=0.5, curve=curve, rows={}, best=None)
    (tmp_path / 'model_selection.json').write_text(json.dumps(state))
    minima = smoothed_distances(tmp_path, tmp_path / 'a.png', (0, 0.5))
    smooth, expected = values[0], [values[0]]
    for value in values[1:]:
        smooth = 0.5 * smooth + 0.5 * value
        expected.append(smooth)
    assert minima == {0.0: 300, 0.5: 100 * (1 + int(np.argmin(expected)))} and minima[0.5] == 700
    assert load_image(str(tmp_path / 'a.png')).std() > 1
    run_tool('smoothing_curves.py', [tmp_path, '--alphas', 0, 0.5], monkeypatch)
    said = capsys.readouterr().out
    assert 'alpha 0: minimum at iteration 300' in said and 'at iteration 700' in said
    assert (tmp_path / 'smoothed_distances.png').is_file()
    with pytest.raises(FileNotFoundError, match='names end in _fd'):
        smoothed_distances(tmp_path / 'other', 'x.png')
    (tmp_path / 'model_selection.json').write_text('{"curve": [[1]]}')
    with pytest.raises(ValueError, match='is damaged'):
        smoothed_distances(tmp_path, 'x.png')
    (tmp_path / 'model_selection.json').write_text('{"curve": []}')
    with pytest.raises(ValueError, match='not validated'):
        smoothed_distances(tmp_path, 'x.png')


def test_a_row_of_images_for_each_tree(tmp_path, monkeypatch):
    """Fig. 8: folders, a split of a manifest, and a list of a selection."""
    rng = np.random.default_rng(0)
    images = {}
    for tree in ('real', 'made'):
        for label in ('normal', 'tumor'):
            for number in range(3):
                file = f'{label}/{number}.png'
                images[tree, file] = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
                write_png(tmp_path / tree / file, images[tree, file])
    rows = ['file,label,split', 'normal/0.png,normal,train', 'tumor/2.png,tumor,train',
            'tumor/0.png,tumor,test']  # fmt: skip
    (tmp_path / 'real' / 'manifest.csv').write_text('\n'.join(rows) + '\n')
    (tmp_path / 'kept.csv').write_text('file,label\nnormal/1.png,normal\n')
    run_tool(
        'image_sheet.py',
        [f'real={tmp_path}/real:train', f'3 %={tmp_path}/made:{tmp_path}/kept.csv',
         f'all={tmp_path}/made', '--per-class', 2, '--out', tmp_path / 'sheet.png'],
        monkeypatch,
    )  # fmt: skip
    sheet = load_image(str(tmp_path / 'sheet.png'))

    def shown(tree, file):
        return cv2.matchTemplate(sheet, images[tree, file], cv2.TM_SQDIFF).min() < 2000

    found = {key for key in images if shown(*key)}
    assert found == {
        ('real', 'normal/0.png'), ('real', 'tumor/2.png'),
        ('made', 'normal/1.png'), ('made', 'normal/0.png'), ('made', 'normal/2.png'),
        ('made', 'tumor/0.png'), ('made', 'tumor/2.png'),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"holds no image of the classes \['other'\]"):
        folder_sheet({'x': tmp_path / 'made'}, tmp_path / 'x.png', ['other'])
    with pytest.raises(ValueError, match='at least one row'):
        folder_sheet({}, tmp_path / 'x.png')


@pytest.mark.parametrize(
    'name, dropout', [('resnet34_cervical', 'resnet34_cervical_mc_dropout'),
                      ('resnet18_tissue_phantom', 'resnet18_tissue_phantom_mc_dropout')],
)  # fmt: skip
def test_extractors_that_train_with_dropout_have_the_plain_ones_weights(name, dropout):
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS

    from cellgan_plugin.models.mc_dropout import trained_dropout

    folder = REPO / 'configs' / 'classifiers'
    configs = [Config.fromfile(folder / f'{n}.py') for n in (name, dropout)]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain, other = (MODELS.build(config.model) for config in configs)
    shapes = [{k: v.shape for k, v in net.state_dict().items()} for net in (plain, other)]
    assert shapes[0] == shapes[1]
    assert trained_dropout(plain.backbone) is None and trained_dropout(other.backbone) == 0.5


def test_domain_classifiers_keep_their_best_held_out_weights():
    """Where the validation images are held out; best by training accuracy means nothing."""
    for path in sorted((REPO / 'configs' / 'classifiers').glob('resnet*.py')):
        config = Config.fromfile(path)
        splits = [config[f'{part}_dataloader'].dataset.get('split') for part in ('train', 'val')]
        held_out = splits[0] is not None and splits[0] != splits[1]
        kept = config.default_hooks.checkpoint.get('save_best')
        assert kept == ('accuracy/top1' if held_out else None), path.name
