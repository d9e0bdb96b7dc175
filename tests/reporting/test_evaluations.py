"""Rows of an evaluation belong together whatever their numbers of images."""

import json

from cellgan_plugin.reporting.evaluations import last_evaluations


def line(row, images, time, **about):
    protocol = dict(extractor_fingerprint='f', generated=dict(root=about.pop('root', None)))
    row = dict(row=row, real=images, fake=images, time=time, protocol=protocol, **about)
    return json.dumps(row)


def test_the_last_evaluation_of_every_checkpoint_and_folder_is_whole(tmp_path):
    path = tmp_path / 'evaluation.jsonl'
    lines = [line('a', 2, 'early', checkpoint='x.pth')]
    lines += [
        line('a', 2, 'late', checkpoint='x.pth'),
        line('mean', 14, 'late', checkpoint='x.pth'),
    ]
    lines += [line('a', 3, 'late', root='one'), line('a', 3, 'late', root='two')]
    path.write_text('\n'.join(lines))
    found = last_evaluations(path)
    assert [[row['row'] for row in rows] for rows in found] == [['a', 'mean'], ['a'], ['a']]
    assert [row['time'] for row in found[0]] == ['late', 'late']
