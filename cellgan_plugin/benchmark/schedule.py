"""Learning-rate schedules over another length of training."""

import copy
import math
from typing import List, Mapping, Optional, Sequence, Union

_STRETCHED = ('begin', 'end', 'T_max', 'milestones', 'step_size', 'total_iters', 'periods')


def stretched_schedule(
    schedulers: Union[None, Mapping, Sequence[Mapping]],
    train_cfg: Optional[Mapping],
    iterations: int,
) -> List[dict]:
    """Learning-rate schedules written for one length of training, over another one.

    Warm-up, milestones and decay keep their share of the run, so that an arm with more images
    does not spend most of its steps at the lowest rate.

    Args:
        schedulers: ``param_scheduler`` of a config, in epochs or iterations.
        train_cfg (Mapping, optional): Of the config; its ``max_epochs`` or ``max_iters`` is the
            length that the schedules were written for.
        iterations (int): Length of the run.

    Returns:
        list[dict]: In iterations.

    Raises:
        ValueError: There are schedules, but no length that they were written for.
    """
    if not schedulers:
        return []
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    train_cfg = train_cfg or {}
    result = []
    for scheduler in schedulers:
        scheduler = {**copy.deepcopy(dict(scheduler))}
        by_epoch = scheduler.get('by_epoch', True)
        length = train_cfg.get('max_epochs' if by_epoch else 'max_iters')
        if not length:
            raise ValueError(
                f'param_scheduler {scheduler.get("type")} counts '
                f'{"epochs" if by_epoch else "iterations"}, but train_cfg has no '
                f'{"max_epochs" if by_epoch else "max_iters"}: how long the schedule is cannot be '
                'told'
            )
        factor = iterations / length
        for key in _STRETCHED:
            value = scheduler.get(key)
            if isinstance(value, (list, tuple)):
                scheduler[key] = [max(1, round(v * factor)) for v in value]
            elif isinstance(value, (int, float)) and math.isfinite(value):
                # A warm-up of no step would divide by zero.
                scheduler[key] = (
                    round(value * factor) if key == 'begin' else _at_least_one(value * factor)
                )
        if scheduler['type'].split('.')[-1].startswith('Exponential'):
            scheduler['gamma'] = scheduler['gamma'] ** (1 / factor)
        scheduler.pop('convert_to_iter_based', None)
        scheduler['by_epoch'] = False
        result.append(scheduler)
    return result


def _at_least_one(value: float) -> int:
    return max(1, round(value))
