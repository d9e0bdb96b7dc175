"""What a benchmark says, in words: one of four sentences, chosen by the numbers."""

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence

from cellgan_plugin.benchmark.statistics import FEWEST_FOLDS, Difference, smallest_difference

HELPS, NO_EVIDENCE, HARMS, TOO_FEW = 'helps', 'no evidence', 'harms', 'too few'
OUTCOMES = (HELPS, HARMS, NO_EVIDENCE, TOO_FEW)  # the first that a row has is that of all
LEVEL, POWER = 0.95, 0.8
_POWER = f'{100 * POWER:.0f} % probability'


@dataclass(frozen=True)
class Verdict:
    """Of one arm against the real images alone, in one score of one classifier.

    Attributes:
        outcome (str): Of :data:`OUTCOMES`.
        classifier (str): Name.
        arm (str): As shown in the tables.
        smallest_gain (float | None): The smallest true gain that the test would have found with
            :data:`POWER`, at the spread of these folds; None where it is not known.
        sentence (str): For a person.
    """

    outcome: str
    classifier: str
    arm: str
    smallest_gain: Optional[float]
    sentence: str


def points(value: float, signed: bool = True) -> str:
    """A difference of scores in percentage points."""
    text = f'{100 * value:{"+" if signed else ""}.1f}'
    return text.replace('-0.0', '0.0').replace('+0.0', '0.0')


def verdict_of(
    found: Difference,
    classifier: str,
    arm: str,
    score: str,
    baseline: float,
    compared: int = 1,
    units: str = 'folds',
    one_split: bool = False,
) -> Verdict:
    """Choose the sentence of an arm.

    - helps, harms: the corrected resampled t-test, adjusted by Holm, rejects at 5 %.
    - too few: fewer than three folds, or a test that could not have found even the largest gain
      that the baseline leaves room for.
    - no evidence: else; with the smallest gain that would have been found.

    Args:
        found (Difference): The test.
        classifier (str): Name.
        arm (str): As shown.
        score (str): Title of the score, e.g. 'Accuracy'.
        baseline (float): Score of the real images alone, in [0, 1].
        compared (int): Arms that are compared: the smallest gain is that of the first of Holm's
            steps, which divides the level by it. Defaults to 1.
        units (str): What the folds divide: 'folds' or 'groups'. Defaults to 'folds'.
        one_split (bool): Whether all runs share their images. Defaults to False.
    """
    score = score[:1].lower() + score[1:] if score[1:2].islower() else score
    reach = None
    if found.error is not None and math.isfinite(found.error):
        level = 1 - (1 - LEVEL) / max(1, compared)
        reach = smallest_difference(found.error, found.folds, level, POWER)
    room = 1 - baseline

    def verdict(outcome: str, sentence: str) -> Verdict:
        return Verdict(outcome, classifier, arm, reach, sentence)

    if found.difference is None:
        return verdict(TOO_FEW, f'{arm} with {classifier}: nothing to compare, jobs are not done.')
    seen = f'{arm} with {classifier}: {points(found.difference)} points of {score}'
    if one_split:
        return verdict(
            TOO_FEW,
            f'Too few {units} to tell. {seen} on one split; its runs share all images, so nothing '
            f'says what other images would show. Folds do: --folds 5.',
        )
    if found.folds < FEWEST_FOLDS:
        return verdict(
            TOO_FEW,
            f'Too few {units} to tell. {seen} over {found.folds} '
            f'{"fold" if found.folds == 1 else "folds"}; {FEWEST_FOLDS} or more are needed.',
        )
    if found.p_holm is None:
        return verdict(TOO_FEW, f'Too few {units} to tell. {seen}; {found.reason}.')
    seen += f'{_interval(found)}, p {_p(found.p_holm)}{_adjusted(found, compared)}, '
    seen += f'{found.folds} folds'
    if found.p_holm < 1 - LEVEL and found.difference > 0:
        return verdict(HELPS, f'It helps. {seen}.')
    if found.p_holm < 1 - LEVEL and found.difference < 0:
        return verdict(HARMS, f'It harms. {seen}.')
    if reach is not None and reach > room:
        return verdict(
            TOO_FEW,
            f'Too few {units} to tell. {seen}. Only a gain of {points(reach, False)} points would '
            f'have been found with {_POWER}, and the baseline leaves room for '
            f'{points(room, False)}.',
        )
    power = (
        'No two folds differ, so there is no spread to say what would have been found.'
        if reach is None
        else f'The smallest gain that this design would have shown with {_POWER} is '
        f'{points(reach, False)} points: a smaller one may be there.'
    )
    return verdict(NO_EVIDENCE, f'No evidence that it helps. {seen}. {power}')


def _interval(found: Difference) -> str:
    if found.low is None or found.high is None:
        return ''
    return f' (95 % interval {points(found.low)} to {points(found.high)})'


def _adjusted(found: Difference, compared: int) -> str:
    """Why an interval may leave zero out where the test does not reject."""
    if found.p is None or compared < 2:
        return ''
    return f' after Holm for {compared} rows, {_p(found.p)} alone'.replace(' = ', ' ')


def _p(value: float) -> str:
    return '< 0.001' if value < 0.001 else f'= {value:.3f}'


def overall(verdicts: Sequence[Verdict]) -> Optional[str]:
    """The outcome of several arms and classifiers together.

    One that helps is found first; then one that harms, for it would be missed behind others that
    show nothing; then no evidence; too few to tell where that is all.

    Returns:
        str | None: Of :data:`OUTCOMES`; None without any verdict.
    """
    there = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in OUTCOMES if outcome in there), None)


_HEADLINES = {
    HELPS: 'Synthetic images help.',
    HARMS: 'Synthetic images harm.',
    NO_EVIDENCE: 'No evidence that synthetic images help.',
    TOO_FEW: 'Too few {units} to tell whether synthetic images help.',
}


def headline(verdicts: Sequence[Verdict], units: str = 'folds', what: str = '') -> str:
    """The first sentence of a report; '' without any verdict.

    Args:
        verdicts (Sequence[Verdict]): Of all arms and classifiers.
        units (str): See :func:`verdict_of`.
        what (str): In place of 'synthetic images'. Defaults to ''.
    """
    outcome = overall(verdicts)
    if outcome is None:
        return ''
    text = _HEADLINES[outcome].format(units=units)
    if what:
        text = text.replace('Synthetic images', what[:1].upper() + what[1:])
        text = text.replace('synthetic images', what)
    own = [v for v in verdicts if v.outcome == outcome]
    if outcome in (HELPS, HARMS) and len(own) < len(verdicts):
        text = f'{text[:-1]} in {len(own)} of {len(verdicts)} comparisons.'
    return text


def best_first(verdicts: Sequence[Verdict]) -> List[Verdict]:
    """Verdicts by outcome as :func:`overall` ranks them, else in the order given."""
    return sorted(verdicts, key=lambda verdict: OUTCOMES.index(verdict.outcome))
