"""Frechet and kernel distance: closed forms, the textbook formula, independent libraries."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg

from cellgan_plugin.evaluation import distances, frechet
from cellgan_plugin.evaluation.distances import (
    DistanceOptionError,
    FeatureMatrixError,
    FeatureShapeError,
    FeatureTypeError,
    NonFiniteFeaturesError,
    TooFewImagesError,
    frechet_distance,
    frechet_distance_from_statistics,
    kernel_distance,
)
from cellgan_plugin.randomness import rng_for


def normal(*shape, index=0):
    return rng_for(0, 'tests/distances', index, *shape).standard_normal(shape)


def correlated(n, d, index=0, power=1.0):
    """Features whose variances fall as k^-power, mixed over all columns."""
    mixing = np.linalg.qr(normal(d, d, index=99))[0]
    return (normal(n, d, index=index) * np.arange(1, d + 1) ** (-power / 2)) @ mixing


def with_moments(n, mean, cov, index=0):
    """n rows whose sample mean and unbiased sample covariance are exactly those given."""
    x = normal(n, len(mean), index=index)
    x = x - x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return white @ np.linalg.cholesky(cov).T + mean


def textbook(real, fake):
    c1, c2 = np.atleast_2d(np.cov(real, rowvar=False)), np.atleast_2d(np.cov(fake, rowvar=False))
    roots = np.sqrt(linalg.eigvals(c1 @ c2).astype(complex)).real.sum()
    shift = real.mean(0) - fake.mean(0)
    return shift @ shift + np.trace(c1) + np.trace(c2) - 2 * roots


# ---- Frechet distance -------------------------------------------------------------------------


def test_gaussians_with_known_distance():
    mean = np.array([1.0, -2.0, 0.5])
    sd1, sd2 = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])
    real = with_moments(20, np.zeros(3), np.diag(sd1**2), 1)
    fake = with_moments(31, mean, np.diag(sd2**2), 2)
    expected = mean @ mean + ((sd1 - sd2) ** 2).sum()  # diagonal covariances commute
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_gaussians_that_do_not_commute():
    c1 = np.array([[2.0, 0.6], [0.6, 1.0]])
    c2 = np.array([[1.0, -0.8], [-0.8, 3.0]])
    # For 2 x 2 matrices Tr M^(1/2) = sqrt(Tr M + 2 sqrt(det M)).
    root = math.sqrt(np.trace(c1 @ c2) + 2 * math.sqrt(np.linalg.det(c1 @ c2)))
    expected = 0.25 + np.trace(c1) + np.trace(c2) - 2 * root
    real = with_moments(10, np.zeros(2), c1, 1)
    fake = with_moments(12, np.array([0.3, 0.4]), c2, 2)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-12)
    statistics = (np.zeros(2), c1, np.array([0.3, 0.4]), c2)
    assert frechet_distance_from_statistics(*statistics) == pytest.approx(expected, rel=1e-12)


def test_one_feature():
    real, fake = normal(7, 1, index=1), 3 + 2 * normal(9, 1, index=2)
    expected = (real.mean() - fake.mean()) ** 2 + (real.std(ddof=1) - fake.std(ddof=1)) ** 2
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_two_images_a_side():
    real, fake = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 5.0]])
    # Variances 2 and 8 along orthogonal axes, means (1, 0) and (0, 3).
    assert frechet_distance(real, fake) == pytest.approx(10 + 2 + 8, rel=1e-12)


@pytest.mark.parametrize('n, d', [(30, 64), (64, 64), (65, 64), (300, 64)])
def test_identical_and_shifted_sets(n, d):
    x = correlated(n, d)
    variance = np.trace(np.cov(x, rowvar=False))
    assert 0 <= frechet_distance(x, x.copy()) <= 1e-8 * variance
    shift = normal(d, index=3)
    assert frechet_distance(x, x + shift) == pytest.approx(shift @ shift, rel=1e-8)


@pytest.mark.parametrize('m', [5, 31, 32, 33, 200])
@pytest.mark.parametrize('n', [2, 20, 32, 60])
@pytest.mark.parametrize('power', [0.0, 1.5])
def test_textbook_formula_in_every_branch(n, m, power):
    real = correlated(n, 32, 1, power)
    fake = 1.3 * correlated(m, 32, 2, power) + 0.1
    expected = textbook(real, fake)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)
    statistics = [f(x) for x in (real, fake) for f in (lambda v: v.mean(0), lambda v: np.cov(v.T))]
    assert frechet_distance_from_statistics(*statistics) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('case', ['low rank', 'dead channels', 'steep', 'constant set'])
def test_many_images_of_deficient_rank(case):
    n, d = 200, 32
    real, fake = correlated(n, d, 1), 1.2 * correlated(n + 50, d, 2)
    if case == 'low rank':
        real, fake = real[:, :5] @ normal(5, d, index=3), fake[:, :5] @ normal(5, d, index=3)
    elif case == 'dead channels':
        real[:, ::3] = 0
        fake[:, ::2] = 1.5
    elif case == 'steep':
        real, fake = correlated(n, d, 1, 8), 1.2 * correlated(n + 50, d, 2, 8)
    else:
        real[:] = real[0]
    # Independent: nuclear norm of the product of the triangles of both centred sets.
    a, b = real - real.mean(0), fake - fake.mean(0)
    roots = np.linalg.svd(a @ b.T, compute_uv=False).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    total = (a**2).sum() / (len(a) - 1) + (b**2).sum() / (len(b) - 1)
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + total - 2 * roots
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)
    statistics = [f(x) for x in (real, fake) for f in (lambda v: v.mean(0), lambda v: np.cov(v.T))]
    assert frechet_distance_from_statistics(*statistics) == pytest.approx(expected, rel=1e-6)


def test_no_square_matrix_for_few_images(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError('the route for many images was taken')

    monkeypatch.setattr(frechet, '_root_trace', forbidden)
    frechet_distance(normal(10, 40), normal(300, 40))
    frechet_distance(normal(300, 40), normal(10, 40))


def test_torch_fidelity_agrees_on_frechet():
    metric = pytest.importorskip('torch_fidelity.metric_fid')
    real, fake = correlated(90, 24, 1), 1.4 * correlated(70, 24, 2) + 0.2
    stats = [metric.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    expected = metric.fid_statistics_to_metric(*stats, False)['frechet_inception_distance']
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-8)


# ---- Kernel distance --------------------------------------------------------------------------


def test_kernel_distance_by_hand():
    real, fake = normal(6, 4, index=1), normal(9, 4, index=2) + 0.5

    def k(x, y):
        return (x @ y / 4 + 1) ** 3

    xx = np.mean([k(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j])
    yy = np.mean([k(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i != j])
    xy = np.mean([k(x, y) for x in real for y in fake])
    assert kernel_distance(real, fake).value == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_kernel_standard_error_is_the_jackknife():
    real, fake = normal(12, 5, index=1), 1.5 * normal(8, 5, index=2) + 0.3
    left_out = [
        [kernel_distance(np.delete(real, i, 0), fake).value for i in range(12)],
        [kernel_distance(real, np.delete(fake, i, 0)).value for i in range(8)],
    ]
    variance = sum((len(v) - 1) * np.var(v) for v in left_out)
    result = kernel_distance(real, fake)
    assert result.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert math.isnan(result.subset_std)


@pytest.mark.parametrize('shift, lowest, highest', [(0.5, 0.8, 1.25), (0.0, 0.9, 2.0)])
def test_kernel_standard_error_against_new_draws(shift, lowest, highest):
    results = [
        kernel_distance(normal(60, 8, index=i), normal(60, 8, index=-i - 1) + shift)
        for i in range(150)
    ]
    spread = np.std([r.value for r in results])
    claimed = np.sqrt(np.mean([r.standard_error**2 for r in results]))
    assert lowest < claimed / spread < highest
    if shift == 0:  # unbiased: two sets of one distribution have distance zero on average
        assert abs(np.mean([r.value for r in results])) < 3 * spread / math.sqrt(150)


def test_torch_fidelity_agrees_on_kernel():
    metric = pytest.importorskip('torch_fidelity.metric_kid')
    real, fake = correlated(60, 16, 1), 1.3 * correlated(60, 16, 2) + 0.1

    def theirs(subsets, size):
        result = metric.kid_features_to_metric(
            torch.from_numpy(real),
            torch.from_numpy(fake),
            kid_subsets=subsets,
            kid_subset_size=size,
            verbose=False,
        )
        return [result[f'kernel_inception_distance_{key}'] for key in ('mean', 'std')]

    whole = theirs(1, 60)[0]
    assert kernel_distance(real, fake).value == pytest.approx(whole, rel=1e-9)
    ours = kernel_distance(real, fake, subsets=1, subset_size=60)
    assert ours.value == pytest.approx(whole, rel=1e-9)
    # Other draws of the same protocol: mean and spread agree to their own uncertainty.
    mean, std = theirs(400, 20)
    ours = kernel_distance(real, fake, subsets=400, subset_size=20)
    assert abs(ours.value - mean) < 5 * std / math.sqrt(400)
    assert ours.subset_std == pytest.approx(std, rel=0.2)
    assert math.isnan(ours.standard_error)


def test_kernel_subsets_are_deterministic_and_need_no_kept_matrix(monkeypatch):
    real, fake = correlated(40, 8, 1), correlated(50, 8, 2)
    options = dict(subsets=5, subset_size=20)
    first = kernel_distance(real, fake, **options)[::2]
    assert kernel_distance(real, fake, **options)[::2] == first
    assert kernel_distance(real, fake, seed=1, **options)[::2] != first
    monkeypatch.setattr('cellgan_plugin.evaluation.kernel._KEEP_ROWS', 10)
    assert kernel_distance(real, fake, **options)[::2] == pytest.approx(first, rel=1e-9)


@pytest.mark.parametrize('block_size', [1, 7, 40, 1000])
def test_kernel_blocks(block_size):
    real, fake = correlated(40, 8, 1), correlated(33, 8, 2)
    expected = kernel_distance(real, fake)
    result = kernel_distance(real, fake, block_size=block_size)
    assert result[:2] == pytest.approx(expected[:2], rel=1e-9)


def test_kernel_distance_of_two_images():
    result = kernel_distance(normal(2, 3, index=1), normal(2, 3, index=2))
    assert math.isfinite(result.value) and math.isnan(result.standard_error)


# ---- Properties of both -----------------------------------------------------------------------

BOTH = [frechet_distance, lambda a, b, **kw: kernel_distance(a, b, **kw).value]


@pytest.mark.parametrize('n', [15, 80])
@pytest.mark.parametrize('distance', BOTH)
def test_order_symmetry_and_origin(distance, n):
    real, fake = correlated(n, 24, 1), 1.2 * correlated(n + 9, 24, 2) + 0.1
    expected = distance(real, fake)
    assert distance(fake, real) == pytest.approx(expected, rel=1e-9)
    shuffled = rng_for(0, 'order').permutation(n)
    assert distance(real[shuffled], fake[::-1]) == pytest.approx(expected, rel=1e-9)
    if distance is frechet_distance:
        assert distance(real + 100, fake + 100) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize('n', [15, 80])
@pytest.mark.parametrize('distance', BOTH)
def test_kinds_of_input(distance, n):
    real, fake = correlated(n, 24, 1), 1.2 * correlated(n + 9, 24, 2) + 0.1
    before = real.copy()
    expected = distance(real, fake)
    tensors = [torch.tensor(x, requires_grad=True) for x in (real, fake)]
    assert distance(*tensors) == pytest.approx(expected, rel=1e-12)
    assert distance(real, tensors[1]) == pytest.approx(expected, rel=1e-12)
    single = [x.astype(np.float32) for x in (real, fake)]
    exact = distance(*(x.astype(np.float64) for x in single))
    assert distance(*single) == pytest.approx(exact, rel=1e-12)
    assert distance(*map(torch.from_numpy, single)) == pytest.approx(exact, rel=1e-12)
    assert distance(*single, dtype=torch.float32) == pytest.approx(exact, rel=1e-2)
    halves = [torch.from_numpy(x).to(torch.bfloat16) for x in (real, fake)]
    assert distance(*halves) == pytest.approx(distance(*(x.double() for x in halves)), rel=1e-12)
    real.flags.writeable = False
    assert distance(real, np.asfortranarray(fake)) == pytest.approx(expected, rel=1e-12)
    assert np.array_equal(real, before)


def test_the_address_of_all_distances():
    for name in distances.__all__:
        assert hasattr(distances, name)


# ---- Bad input --------------------------------------------------------------------------------

GOOD = normal(12, 3)
BAD = [
    (np.zeros((0, 3)), TooFewImagesError, '0 row'),
    (GOOD[:1], TooFewImagesError, '1 row'),
    (GOOD[0], FeatureShapeError, r'\(3,\)'),
    (GOOD[None], FeatureShapeError, r'\(1, 12, 3\)'),
    (np.zeros((12, 0)), FeatureShapeError, 'at least one feature'),
    (normal(12, 4), FeatureShapeError, 'same extractor'),
    (np.where(np.arange(36).reshape(12, 3) == 16, np.nan, GOOD), NonFiniteFeaturesError, 'row 5'),
    (np.where(np.arange(36).reshape(12, 3) == 16, np.inf, GOOD), NonFiniteFeaturesError, 'lumn 1'),
    (np.ones((12, 3), dtype=np.uint8), FeatureTypeError, 'uint8'),
    (torch.ones(12, 3, dtype=torch.int64), FeatureTypeError, 'int64'),
    (GOOD.tolist(), FeatureTypeError, 'list'),
    (None, FeatureTypeError, 'NoneType'),
]
ALL = [
    distances.frechet_distance,
    distances.kernel_distance,
    distances.precision_recall_density_coverage,
    distances.frechet_distance_infinity,
    distances.bootstrap_interval,
]


@pytest.mark.parametrize('distance', ALL, ids=lambda f: f.__name__)
@pytest.mark.parametrize('bad, error, message', BAD)
def test_bad_features(distance, bad, error, message):
    with pytest.raises(error, match=message) as first:
        distance(GOOD, bad)
    assert 'fake' in str(first.value)
    with pytest.raises(error) as second:
        distance(bad, GOOD)
    assert 'real' in str(second.value)
    assert isinstance(first.value, FeatureMatrixError) and isinstance(first.value, ValueError)


@pytest.mark.parametrize('distance', ALL, ids=lambda f: f.__name__)
def test_unknown_and_wrong_options(distance):
    with pytest.raises(TypeError, match='colour'):
        distance(GOOD, GOOD, colour='red')
    with pytest.raises(DistanceOptionError, match='dtype'):
        distance(GOOD, GOOD, dtype=torch.int64)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(subsets=3), 'go together'),
        (dict(subset_size=3), 'go together'),
        (dict(subsets=0, subset_size=3), 'subsets'),
        (dict(subsets=2, subset_size=13), 'from 2 to 12'),
        (dict(subsets=2, subset_size=2.5), 'whole number'),
        (dict(block_size=0), 'block_size'),
    ],
)
def test_bad_kernel_options(options, message):
    with pytest.raises(DistanceOptionError, match=message):
        kernel_distance(GOOD, GOOD, **options)


def test_overflow_is_named():
    with pytest.raises(NonFiniteFeaturesError, match='too large'):
        frechet_distance(GOOD * 1e30, GOOD, dtype=torch.float32)
    with pytest.raises(NonFiniteFeaturesError, match='too large'):
        frechet_distance(normal(4, 9) * 1e200, normal(5, 9))
    with pytest.raises(NonFiniteFeaturesError, match='too large'):
        distances.bootstrap_interval(normal(4, 9) * 1e200, normal(5, 9))
    with pytest.raises(NonFiniteFeaturesError, match='too large for'):
        frechet_distance(torch.from_numpy(GOOD * 1e200), GOOD, dtype=torch.float32)


@pytest.mark.parametrize(
    'change, error, message',
    [
        (dict(mu2=np.zeros(4)), FeatureShapeError, 'columns'),
        (dict(mu1=np.zeros((1, 3))), FeatureShapeError, 'mu1'),
        (dict(mu1=[0.0, 0.0, 0.0]), FeatureShapeError, 'list'),
        (dict(cov1=np.eye(4)), FeatureShapeError, 'cov1'),
        (dict(cov2=np.zeros(3)), FeatureShapeError, 'cov2'),
        (dict(cov2=np.triu(np.ones((3, 3)))), FeatureMatrixError, 'not symmetric'),
        (dict(cov2=-np.eye(3)), FeatureMatrixError, 'negative variance'),
        (dict(cov1=np.full((3, 3), np.nan)), NonFiniteFeaturesError, 'cov1'),
    ],
)
def test_bad_statistics(change, error, message):
    statistics = dict(mu1=np.zeros(3), cov1=np.eye(3), mu2=np.zeros(3), cov2=np.eye(3))
    with pytest.raises(error, match=message):
        frechet_distance_from_statistics(**{**statistics, **change})
