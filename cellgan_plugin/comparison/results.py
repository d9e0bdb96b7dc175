"""The finished parts of a comparison, by model."""

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from cellgan_plugin.comparison.parts import Evaluation
from cellgan_plugin.comparison.plan import ComparisonPlan
from cellgan_plugin.engine.training_cost import TrainingCost


def _frechet(name: str) -> bool:
    return name.startswith(('FID', 'FD('))


class ComparisonResults:
    """The finished parts of the comparison, by model.

    Args:
        plan (ComparisonPlan): The comparison.
        parts (Sequence[Evaluation]): All of them.
        failures (Mapping[str, str]): Name of a job to what went wrong.
    """

    def __init__(
        self, plan: ComparisonPlan, parts: Sequence[Evaluation], failures: Mapping[str, str]
    ):
        self.plan = plan
        self.parts = parts
        self.failures = dict(failures)
        self.found = {part.job: part.result for part in parts}

    def of(self, model: str) -> List[Tuple[Evaluation, Dict[str, Any]]]:
        """The finished trainings of a model with what was found."""
        parts = [part for part in self.parts if part.model == model]
        return [(part, self.found[part.job]) for part in parts if self.found[part.job]]

    def missing(self, model: str) -> List[str]:
        """Why trainings of a model are not in the table, one text each."""
        why = []
        for part in self.parts:
            if part.model != model or self.found[part.job]:
                continue
            jobs = [training.job for training in part.trainings] + [part.job]
            failed = next((self.failures[job] for job in jobs if job in self.failures), None)
            why.append(failed or 'not done yet')
        return why

    @property
    def reports(self) -> List[Dict[str, Any]]:
        """The evaluation of any model that has one: names, classes, real images."""
        return next((found['reports'] for found in self.found.values() if found), [])

    @property
    def classes(self) -> List[str]:
        """Rows of the evaluation that are classes."""
        if not self.reports:
            return []
        return [r['row'] for r in self.reports[0]['rows'] if r['row'] not in ('mean', 'pooled')]

    @property
    def distance(self) -> str:
        """Name of the Frechet distance of the table: ``FID`` or ``FD(<extractor>)``."""
        names = [n for n in self._values(self.reports[0], 'mean') if _frechet(n)]
        return names[0] if names else next(iter(self._values(self.reports[0], 'mean')), 'distance')

    @staticmethod
    def _values(report: Mapping[str, Any], row: str) -> Dict[str, float]:
        return next((r['values'] for r in report['rows'] if r['row'] == row), {})

    @property
    def digits(self) -> int:
        """After the point: two as in the paper, more where distances are small."""
        values = [
            self.value(found, 0, row, self.distance)
            for found in self.found.values()
            if found
            for row in [*self.classes, 'mean']
        ]
        smallest = min((abs(v) for v in values if v), default=1.0)
        return min(6, max(2, 1 - math.floor(math.log10(smallest))))

    def further(self) -> List[Tuple[int, str]]:
        """(report, name) of the values beside the distance; their means are shown."""
        names = []
        for number, report in enumerate(self.reports):
            for name in self._values(report, 'mean'):
                if (number, name) != (0, self.distance):
                    names.append((number, name))
        return names

    def value(self, found: Mapping[str, Any], number: int, row: str, name: str) -> Optional[float]:
        """One number of one training; None where it could not be computed."""
        return self._values(found['reports'][number], row).get(name)

    def costs(self, part: Evaluation, found: Mapping[str, Any]) -> List[TrainingCost]:
        """Cost of every stage that is known."""
        reports = [training.report for training in part.trainings]
        costs = [r['cost'] for r in reports if r] if part.trainings else [found['cost']]
        return [TrainingCost.from_dict(cost) for cost in costs if cost]
