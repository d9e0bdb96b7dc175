import pytest

from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.synthesis.request import parse_classes, parse_seeds, wanted_rows

CLASSES = ('NILM', 'ASC-US', 'HSIL')


@pytest.mark.parametrize(
    'text, seeds',
    [('17', [17]), ('0-3', [0, 1, 2, 3]), ('3, 5,10-12', [3, 5, 10, 11, 12]), ('7 - 8', [7, 8])],
)
def test_seeds_from_words(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize('text', ['', 'a', '-3', '5-3', '1,,2', '1.5', '3,3', '1-5,4'])
def test_words_that_are_no_seeds(text):
    with pytest.raises(SynthesisError, match='seeds'):
        parse_seeds(text)


def test_more_images_than_a_folder_holds_are_refused_at_once():
    for options in (
        dict(per_class=10**9),
        dict(numbers=dict(HSIL=10**9)),
        dict(per_class=4 * 10**6),
    ):
        with pytest.raises(SynthesisError, match='at most 10,000,000'):
            wanted_rows(CLASSES, **options)
    with pytest.raises(SynthesisError, match='at most 10,000,000'):
        parse_seeds('0-999999999')


@pytest.mark.parametrize(
    'words, numbers',
    [
        (['HSIL=5000,NILM=0'], dict(HSIL=5000, NILM=0)),
        (['HSIL=5', 'ASC-US'], {'HSIL': 5, 'ASC-US': None}),
        ([], {}),
    ],
)
def test_numbers_of_classes_from_words(words, numbers):
    assert parse_classes(words) == numbers


@pytest.mark.parametrize('word', ['=5', 'HSIL=', 'HSIL=-1', 'HSIL=a', 'HSIL=1,HSIL=2'])
def test_words_that_are_no_numbers_of_classes(word):
    with pytest.raises(SynthesisError):
        parse_classes([word])


@pytest.mark.parametrize(
    'options, expected',
    [
        (dict(per_class=2), {0: [0, 1], 1: [0, 1], 2: [0, 1]}),
        (dict(per_class=2, numbers=dict(HSIL=3, NILM=0)), {1: [0, 1], 2: [0, 1, 2]}),
        (dict(numbers=dict(HSIL=2)), {2: [0, 1]}),
        (dict(seeds=[17], numbers=dict(hsil=None)), {2: [17]}),
        (dict(seeds=[17], numbers=dict(HSIL=1)), {2: [17]}),
        (dict(seeds=[4, 9]), {0: [4, 9], 1: [4, 9], 2: [4, 9]}),
        (dict(seeds=range(4, 8), per_class=2), {0: [4, 5], 1: [4, 5], 2: [4, 5]}),
        (dict(seeds=range(4, 8), per_class=1, numbers={'ASC_US': 3}),
         {0: [4], 1: [4, 5, 6], 2: [4]}),
        (dict(per_class=0, numbers=dict(NILM=1)), {0: [0]}),
    ],
)  # fmt: skip
def test_rows(options, expected):
    rows = [(label, seed) for label, seeds in expected.items() for seed in seeds]
    assert wanted_rows(CLASSES, **options) == rows


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(), 'how many images'),
        (dict(numbers=dict(HSIL=None)), 'how many images'),
        (dict(numbers=dict(HSIL=None, NILM=3)), 'HSIL=NUMBER'),
        (dict(per_class=2, numbers=dict(SCC=1)), "'SCC': the model knows NILM, ASC-US, HSIL"),
        (dict(per_class=2, numbers={'HSIL': 1, 'hsil': 2}), 'same class HSIL'),
        (dict(per_class=0), 'no image'),
        (dict(per_class=-1), 'per_class=-1'),
        (dict(seeds=[1, 2], per_class=3), '3 images of NILM, but only 2 seeds'),
        (dict(seeds=[1, 2], numbers=dict(HSIL=3)), '3 images of HSIL, but only 2 seeds'),
        (dict(seeds=[-1]), 'seeds'),
        (dict(seeds=[1, 1]), 'seeds'),
        (dict(seeds=[]), 'seeds'),
    ],
)
def test_requests_that_cannot_be(options, message):
    with pytest.raises(SynthesisError, match=message):
        wanted_rows(CLASSES, **options)
