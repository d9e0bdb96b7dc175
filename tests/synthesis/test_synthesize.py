import errno
import json
import os
import shutil
import time

import numpy as np
import pytest
import torch
from hugging_face import load_with_datasets
from mmagic.registry import MODELS
from PIL import Image
from tiny_generators import CLASSES, TRAINING_IMAGES, write_run

from cellgan_plugin.datasets import CellPatchDataset
from cellgan_plugin.datasets.content_hash import read_training_images
from cellgan_plugin.datasets.file_history import encode_jpeg_like, read_history
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.errors import OutputError, SynthesisError, explained_output_errors
from cellgan_plugin.files import file_sha256
from cellgan_plugin.models import CellGAN, sample_pixels
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.image_sampler import ImageSampler, sample_many
from cellgan_plugin.runs.sampling import Sampling, synthesis_noise
from cellgan_plugin.runs.trained_model import load_model
from cellgan_plugin.synthesis.folder import SynthesisFolder, sheet_file
from cellgan_plugin.synthesis.synthesize import synthesize

HANDED_OVER = ('README.md', '__about__', 'metadata.csv')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def made(run, tmp_path_factory):
    """Four images of each class, by one worker."""
    out = tmp_path_factory.mktemp('made') / 'images'
    result = synthesize(*run, out, per_class=4, workers=1)
    return out, result


def images(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob('*/*'))
        if path.suffix != '.tmp' and path.parent.name != '__about__'
    }


def litter(folder):
    return [path for path in folder.rglob('*.tmp')]


# What is written -------------------------------------------------------------------------------


def test_class_folders_manifest_and_protocol(run, made):
    out, result = made
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*CLASSES, *HANDED_OVER, 'manifest.csv', 'synthesis.json']
    )
    rows = read_manifest(out / 'manifest.csv')
    assert [(row['file'], row['label'], row['seed']) for row in rows] == [
        (f'{name}/{name}_{seed:06d}.png', name, str(seed)) for name in CLASSES for seed in range(4)
    ]
    assert set(images(out)) == {row['file'] for row in rows}
    record = json.loads((out / 'synthesis.json').read_text())
    protocol = record['protocol']
    assert {row['checkpoint_sha256'] for row in rows} == {protocol['checkpoint_sha256']}
    assert {row['config_sha256'] for row in rows} == {protocol['config_sha256']}
    assert protocol['checkpoint_sha256'] == file_sha256(run[1])
    assert protocol['sample_model'] == 'ema' and protocol['precision'] == 'fp32'
    assert record['iteration'] == 5 and record['image_shape'] == [32, 32, 3]
    assert record['runs'][0]['torch'] == torch.__version__ and record['runs'][0]['finished']
    assert np.array_equal(read_training_images(out), TRAINING_IMAGES.numpy())
    assert result['images'] == result['made'] == 12 and not litter(out)
    assert load_image(str(sheet_file(out))).shape[0] > 3 * 128


def test_the_folder_loads_in_hugging_face_datasets(made, tmp_path):
    out, _ = made
    for found in (
        load_with_datasets(out, tmp_path / 'a'),
        load_with_datasets(out, tmp_path / 'b', 'imagefolder', data_dir=str(out)),
    ):
        rows = {(row['label'], row['seed']): row['image'] for row in found}
        assert set(rows) == {(name, seed) for name in CLASSES for seed in range(4)}
        name = CLASSES[1]
        own = load_image(str(out / name / f'{name}_000003.png'))
        assert np.array_equal(np.asarray(rows[name, 3].convert('RGB')), own)


def test_the_card_says_what_the_images_are_and_an_edited_one_is_kept(run, made, tmp_path):
    out, _ = made
    card = (out / 'README.md').read_text()
    digest = json.loads((out / 'synthesis.json').read_text())['protocol']['checkpoint_sha256']
    assert all(f'| {name} | 4 |' in card for name in CLASSES) and digest in card
    assert f'| Training images | {len(TRAINING_IMAGES)} |' in card and 'license: other' in card
    assert '__about__/sheet.png' in card and '## Limits' in card
    again = tmp_path / 'again'
    shutil.copytree(out, again)
    (again / 'README.md').write_text('mine')
    synthesize(*run, again, per_class=5, workers=1)
    assert (again / 'README.md').read_text() == 'mine'
    assert len((again / 'metadata.csv').read_text().splitlines()) == 1 + 15


def test_a_folder_of_an_older_version_is_brought_up_to_date(run, made, tmp_path):
    old = tmp_path / 'old'
    shutil.copytree(made[0], old)
    shutil.move(old / '__about__' / 'training_images.txt', old / 'training_images.txt')
    shutil.move(old / '__about__' / 'sheet.png', old / 'sheet.png')
    (old / 'metadata.csv').unlink()
    assert np.array_equal(read_training_images(old), TRAINING_IMAGES.numpy())
    assert synthesize(*run, old, per_class=5, workers=1)['made'] == 3
    names = {path.name for path in old.iterdir()}
    assert names == {*CLASSES, *HANDED_OVER, 'manifest.csv', 'synthesis.json'}
    assert np.array_equal(read_training_images(old), TRAINING_IMAGES.numpy())


def test_files_like_the_real_ones(run, made, tmp_path):
    real = tmp_path / 'real'
    real.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(real / f'{number}.jpg', quality=83, subsampling=2)
    out = tmp_path / 'out'
    wanted = dict(classes=dict(HSIL=2), like=real)
    assert synthesize(*run, out, **wanted)['made'] == 2
    for row in read_manifest(out / 'manifest.csv'):
        style = read_history(str(out / row['file'])).jpeg
        assert style == read_history(str(real / '0.jpg')).jpeg
        lossless = load_image(str(made[0] / row['file']).replace('.jpg', '.png'))
        assert (out / row['file']).read_bytes() == encode_jpeg_like(lossless, style)
    assert synthesize(*run, out, **wanted)['made'] == 0
    with pytest.raises(RecordError, match='jpeg'):
        synthesize(*run, out, classes=dict(HSIL=2), fmt='jpg')
    with pytest.raises(SynthesisError, match='either a format or real images'):
        synthesize(*run, out, per_class=1, fmt='png', like=real)
    with pytest.raises(SynthesisError, match='no image to be like'):
        synthesize(*run, tmp_path / 'new', per_class=1, like=tmp_path / 'none')
    png = synthesize(*run, tmp_path / 'png', per_class=1, like=made[0] / 'manifest.csv')
    assert png['protocol']['image_format'] == 'png'


def test_the_folder_is_a_data_set(made):
    dataset = CellPatchDataset(
        data_root=str(made[0]),
        ann_file='manifest.csv',
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='PackCellInputs')],
        test_mode=True,
    )
    assert len(dataset) == 12
    assert dataset[5]['inputs']['img'].shape == (3, 32, 32)


def test_pixels_are_those_of_the_plain_model(run, made):
    model = load_model(*run, device='cpu').model
    for label, name in enumerate(CLASSES):
        noise = synthesis_noise(16, [(label, 2)])
        expected = sample_pixels(model, noise, torch.tensor([label]), 'ema')[0].permute(1, 2, 0)
        found = load_image(str(made[0] / name / f'{name}_000002.png'))
        assert expected.float().std() > 5
        assert np.abs(found.astype(int) - expected.numpy()).max() <= 1  # fusing rounds differently


# The same image, whatever else is made ----------------------------------------------------------


def test_images_do_not_depend_on_workers_batch_size_or_company(run, made, tmp_path):
    expected = images(made[0])
    synthesize(*run, tmp_path / 'a', per_class=4, workers=3, batch_size=7)
    assert images(tmp_path / 'a') == expected
    seeds = [3, 1, 2, 0]
    synthesize(*run, tmp_path / 'b', seeds=seeds, workers=2, batch_size=1)
    assert images(tmp_path / 'b') == expected


def test_one_image_can_be_made_again_alone(run, made, tmp_path):
    synthesize(*run, tmp_path, seeds=[2], classes=dict(hsil=1))
    assert images(tmp_path) == {
        'HSIL/HSIL_000002.png': (made[0] / 'HSIL' / 'HSIL_000002.png').read_bytes()
    }


def sampler_for(run, kind_of_call):
    sampler = Sampling.settle(*run, device='cpu', precision='fp32').sampler()
    sampler.images_per_call = kind_of_call
    return sampler


def sampled(sampler, rows, workers=None):
    found = {}
    sample_many(
        sampler,
        rows,
        lambda some: (
            synthesis_noise(16, some),
            torch.tensor([label for label, _ in some]),
        ),
        found.__setitem__,
        workers=workers,
    )
    return found


def test_the_place_in_a_call_of_fixed_size_does_not_matter(run):
    # As on a GPU, where the network is called with many images: short batches are filled up.
    sampler = sampler_for(run, 4)
    rows = [(label, seed) for seed in range(3) for label in range(3)]
    together = sampled(sampler, rows)
    shuffled = sampled(sampler, rows[::-1], workers=2)
    alone = {row: sampled(sampler, [row])[row] for row in rows[:3]}
    assert together.keys() == shuffled.keys() == set(rows)
    assert all(np.array_equal(together[row], shuffled[row]) for row in rows)
    assert all(np.array_equal(together[row], alone[row]) for row in alone)


def test_calls_of_other_sizes_differ_by_a_grey_level_at_most(run):
    rows = [(label, seed) for seed in range(4) for label in range(3)]
    one, many = (sampled(sampler_for(run, size), rows) for size in (1, 5))
    differences = np.stack([np.abs(one[row].astype(int) - many[row]) for row in rows])
    assert differences.max() <= 1 and (differences > 0).mean() < 1e-3


def test_threads_are_left_as_they_were(run):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        sampled(sampler_for(run, 1), [(0, 0), (1, 0)])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('kind', ['biggan', 'ldm'])
def test_every_kind_of_generator(kind, tmp_path):
    run = write_run(tmp_path / 'run', kind)
    synthesize(*run, tmp_path / 'a', per_class=3, workers=2)
    synthesize(*run, tmp_path / 'b', seeds=[2, 0], classes=dict(NILM=2), workers=1)
    a, b = images(tmp_path / 'a'), images(tmp_path / 'b')
    assert len(a) == 9 and len(set(a.values())) == 9
    assert b and all(a[name] == content for name, content in b.items())
    model = load_model(*run, device='cpu').model
    noise = synthesis_noise(model.noise_size, [(1, 0)])
    expected = sample_pixels(model, noise, torch.tensor([1]))[0].permute(1, 2, 0).numpy()
    found = load_image(str(tmp_path / 'a' / 'ASC-US' / 'ASC-US_000000.png'))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_options_that_a_model_would_drop_are_refused(tmp_path):
    run = write_run(tmp_path / 'run', 'biggan')
    with pytest.raises(SynthesisError, match='BigGAN takes none'):
        synthesize(*run, tmp_path / 'out', per_class=1, sample_kwargs=dict(guidance_scale=2))
    assert not (tmp_path / 'out').exists()


def test_options_reach_the_model_and_are_part_of_the_protocol(tmp_path):
    run = write_run(tmp_path / 'run', 'ldm')
    synthesize(*run, tmp_path / 'a', seeds=[0], classes=dict(NILM=1))
    more = dict(seeds=[0], classes=dict(NILM=1), sample_kwargs=dict(num_inference_steps=2))
    synthesize(*run, tmp_path / 'b', **more)
    assert images(tmp_path / 'a') != images(tmp_path / 'b')
    with pytest.raises(RecordError, match='sample_kwargs.num_inference_steps: only now'):
        synthesize(*run, tmp_path / 'a', **more)


def test_last_weights_average_and_truncation_are_different_images(run, made, tmp_path):
    expected = images(made[0])['NILM/NILM_000000.png']
    one = dict(seeds=[0], classes=dict(NILM=1))
    synthesize(*run, tmp_path / 'orig', sample_model='orig', **one)
    synthesize(*run, tmp_path / 'half', truncation=0.5, **one)
    synthesize(*run, tmp_path / 'bf16', precision='bf16', **one)
    found = [images(tmp_path / name)['NILM/NILM_000000.png'] for name in ('orig', 'half', 'bf16')]
    assert len({expected, *found}) == 4
    assert synthesis_noise(16, [(0, 0)], truncation=0.5).abs().max() <= 0.5
    assert not torch.equal(synthesis_noise(16, [(0, 0)]), synthesis_noise(16, [(1, 0)]))


@MODELS.register_module()
class CellGANWithDiceOfItsOwn(CellGAN):
    def generate(self, sample_model, noise, labels, **sample_kwargs):
        return super().generate(sample_model, noise + torch.randn(noise.shape), labels)


def test_a_model_that_draws_numbers_of_its_own_is_refused(tmp_path):
    run = write_run(tmp_path / 'run', **{'model.type': 'CellGANWithDiceOfItsOwn'})
    with pytest.raises(SynthesisError, match='random numbers of its own'):
        synthesize(*run, tmp_path / 'out', per_class=1)
    assert not (tmp_path / 'out').exists()


# Interrupted, finished, continued ---------------------------------------------------------------


def test_a_finished_run_is_a_no_op_that_loads_no_model(run, made, monkeypatch, capsys):
    out, _ = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    monkeypatch.setattr('cellgan_plugin.runs.sampling.load_model', None)
    result = synthesize(*run, out, per_class=4)
    assert result['made'] == 0 and result['images'] == 12
    synthesize(*run, out, per_class=2, classes=dict(HSIL=0))  # fewer are there as well
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == before
    assert 'there already' in capsys.readouterr().out


def test_missing_and_damaged_files_are_made_again_and_others_kept(run, made, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(made[0], out)
    (out / 'NILM' / 'NILM_000001.png').unlink()
    (out / 'HSIL' / 'HSIL_000002.png').write_bytes(b'')
    cut = out / 'HSIL' / 'HSIL_000003.png'
    cut.write_bytes(cut.read_bytes()[:-20])
    other_size = out / 'ASC-US' / 'ASC-US_000000.png'
    shutil.copy(sheet_file(out), other_size)
    kept = out / 'NILM' / 'NILM_000000.png'
    before = kept.stat().st_mtime_ns
    assert synthesize(*run, out, per_class=4)['made'] == 4
    assert images(out) == images(made[0])
    assert kept.stat().st_mtime_ns == before


def test_interrupted_runs_continue(run, made, tmp_path, monkeypatch):
    write_image, count = SynthesisFolder.write_image, []

    def interrupted(self, *arguments):
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return write_image(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SynthesisFolder, 'write_image', interrupted)
        synthesize(*run, tmp_path, per_class=4, workers=2)
    there = images(tmp_path)
    assert 4 <= len(there) < 12 and not (tmp_path / 'manifest.csv').exists()
    stale = tmp_path / 'NILM' / '.NILM_000003.png.0123456789ab.tmp'  # of a killed process
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b'half')
    os.utime(stale, (time.time() - 60,) * 2)
    assert synthesize(*run, tmp_path, per_class=4)['made'] == 12 - len(there)
    assert images(tmp_path) == images(made[0]) and not litter(tmp_path)


def test_more_seeds_and_classes_may_follow(run, made, tmp_path):
    synthesize(*run, tmp_path, seeds=[1], classes=dict(HSIL=1))
    assert synthesize(*run, tmp_path, per_class=4)['made'] == 11
    assert images(tmp_path) == images(made[0])
    assert (tmp_path / 'manifest.csv').read_text() == (made[0] / 'manifest.csv').read_text()
    assert len(json.loads((tmp_path / 'synthesis.json').read_text())['runs']) == 2


@pytest.mark.parametrize('content', [None, '', 'file,label\nNILM/NILM_000000.png,NILM\n'])
def test_a_lost_manifest_is_written_again_without_the_model(
    run, made, tmp_path, monkeypatch, content
):
    out = tmp_path / 'out'
    shutil.copytree(made[0], out)
    (out / 'manifest.csv').unlink()
    if content is not None:
        (out / 'manifest.csv').write_text(content)
    monkeypatch.setattr('cellgan_plugin.runs.sampling.load_model', None)
    synthesize(*run, out, per_class=1)
    assert (out / 'manifest.csv').read_text() == (made[0] / 'manifest.csv').read_text()


# Other people's folders -------------------------------------------------------------------------


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(truncation=0.8), 'truncation: null there, 0.8 now'),
        (dict(fmt='webp'), 'image_format: "png" there, "webp" now'),
        (dict(sample_model='orig'), 'sample_model: "ema" there, "orig" now'),
        (dict(precision='bf16'), 'precision: "fp32" there, "bf16" now'),
        (dict(options={'model.generator.sgc_fusion': 'modulate'}), 'config_sha256: .* there'),
    ],
)
def test_a_folder_with_other_settings_is_refused(run, made, options, message):
    before = images(made[0])
    with pytest.raises(RecordError, match=message) as error:
        synthesize(*run, made[0], per_class=5, **options)
    assert 'another folder, or --overwrite' in str(error.value)
    assert images(made[0]) == before


def test_a_folder_of_another_checkpoint_is_refused(made, tmp_path):
    other = write_run(tmp_path / 'other', seed=1)
    with pytest.raises(RecordError, match='checkpoint_sha256') as error:
        synthesize(*other, made[0], per_class=5)
    assert 'config_sha256' not in str(error.value)


def test_folders_that_are_not_ours_are_left_alone(run, tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(RecordError, match=r'other files \(notes.txt'):
        synthesize(*run, tmp_path, per_class=1)
    with pytest.raises(RecordError, match='notes.txt is a file'):
        synthesize(*run, tmp_path / 'notes.txt' / 'out', per_class=1)
    (tmp_path / 'notes.txt').unlink()
    (tmp_path / 'synthesis.json').write_text('{"protocol"')
    with pytest.raises(RecordError, match='damaged'):
        synthesize(*run, tmp_path, per_class=1)
    assert [path.name for path in tmp_path.iterdir()] == ['synthesis.json']


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(classes=dict(SCC=1)), "'SCC': the model knows NILM, ASC-US, HSIL"),
        (dict(fmt='bmp'), 'png'),
        (dict(truncation=0.0), 'truncation'),
        (dict(sample_model='best'), 'ema'),
        (dict(precision='int8'), 'precision'),
        (dict(batch_size=0), 'batch size'),
        (dict(options={'model.ema_config': None}, sample_model='ema'), 'no average'),
    ],
)
def test_mistakes_are_told_before_the_model_is_loaded(run, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr('cellgan_plugin.runs.sampling.load_model', None)
    with pytest.raises(ValueError, match=message):
        synthesize(*run, tmp_path / 'out', **{'per_class': 1, **options})
    assert not (tmp_path / 'out').exists()


def test_class_names_that_would_leave_the_folder(tmp_path):
    config, checkpoint = write_run(tmp_path / 'run')
    state = torch.load(checkpoint)
    state['meta']['dataset_meta']['classes'] = ['NILM', '../ASC-US', 'HSIL']
    torch.save(state, checkpoint)
    names = {'train_dataloader.dataset.metainfo.classes': ['NILM', '../ASC-US', 'HSIL']}
    with pytest.raises(ValueError, match=r"'../ASC-US' holds '/'"):
        synthesize(config, checkpoint, tmp_path / 'out', per_class=1, options=names)


def test_a_diverged_model_writes_nothing(tmp_path):
    config, checkpoint = write_run(tmp_path / 'run')
    state = torch.load(checkpoint)
    weights = state['state_dict']
    weights = {k: v * torch.nan if v.is_floating_point() else v for k, v in weights.items()}
    torch.save(dict(state, state_dict=weights), checkpoint)
    with pytest.raises(FloatingPointError, match='diverged'):
        synthesize(config, checkpoint, tmp_path / 'out', per_class=1)
    assert not (tmp_path / 'out').exists()


# No room, no permission -------------------------------------------------------------------------


def test_a_full_disk_leaves_whole_files_and_the_run_continues(run, made, tmp_path, monkeypatch):
    fsync, count = os.fsync, []

    def full(handle):
        count.append(1)
        if len(count) > 6:  # record, list of training images, four images
            raise OSError(errno.ENOSPC, 'No space left on device')
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        with pytest.raises(OutputError, match='no room is left .* same command continues'):
            synthesize(*run, tmp_path, per_class=4, workers=2)
    there = images(tmp_path)
    assert len(there) == 4 and not litter(tmp_path)
    assert all(images(made[0])[name] == content for name, content in there.items())
    assert not (tmp_path / 'manifest.csv').exists()
    assert synthesize(*run, tmp_path, per_class=4)['made'] == 8
    assert images(tmp_path) == images(made[0])


def test_too_small_a_disk_is_told_before_anything_is_written(run, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=100_000))
    with pytest.raises(OutputError, match=r'5000 images need about .* MB, and 100 kB are free'):
        synthesize(*run, tmp_path / 'out', seeds=range(5000), classes=dict(HSIL=None))
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('number', [errno.EACCES, errno.EROFS, errno.EISDIR])
def test_missing_permission_says_where(tmp_path, number):
    with pytest.raises(OutputError, match='manifest.csv cannot be written .*output folder'):
        with explained_output_errors(tmp_path):
            raise OSError(number, os.strerror(number), str(tmp_path / 'manifest.csv'))
    with pytest.raises(BrokenPipeError), explained_output_errors(tmp_path):
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))


# Threads ----------------------------------------------------------------------------------------


def test_the_first_error_of_any_thread_stops_the_others(run):
    sampler, seen = sampler_for(run, 1), []

    def consume(row, image):
        seen.append(row)
        if row == (0, 3):
            raise RuntimeError('no')

    def inputs_of(rows):
        return synthesis_noise(16, rows), torch.tensor([label for label, _ in rows])

    with pytest.raises(RuntimeError, match='no'):
        sample_many(sampler, [(0, s) for s in range(500)], inputs_of, consume, 2, 2)
    assert 4 <= len(seen) < 100


def test_writers_that_fall_behind_hold_the_network_back(run):
    sampler, made, written = sampler_for(run, 1), [], []
    ahead = []

    def inputs_of(rows):
        made.append(1)
        ahead.append(len(made) - len(written))
        return synthesis_noise(16, rows), torch.tensor([label for label, _ in rows])

    def consume(row, image):
        time.sleep(0.01)
        written.append(row)

    sample_many(sampler, [(0, s) for s in range(60)], inputs_of, consume, workers=2, writers=1)
    assert len(written) == 60 and max(ahead) <= 10


def test_a_sampler_takes_no_more_than_its_call(run):
    sampler = sampler_for(run, 2)
    with pytest.raises(ValueError, match='3 images'):
        sampler(torch.zeros(3, 16), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match='precision'):
        ImageSampler(sampler.model, precision='half')
