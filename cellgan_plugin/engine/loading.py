"""Weights and states are taken from a checkpoint of this run, or refused with the reason."""

import functools
from typing import Any, Callable, Iterable, List, Mapping, Optional

from mmengine.runner import Runner

from cellgan_plugin.engine.checkpoint import without_wrappers
from cellgan_plugin.models.conditional_gan import unwrap

_PARTIAL = 'default_hooks.checkpoint.partial_load_from=True'
_LINES, _WIDTH = 4, 200


def load_strictly(runner: Runner, partial: bool) -> Callable[..., dict]:
    """``runner.load_checkpoint``, which refuses weights that do not fit; MMEngine's only logs it.

    Args:
        runner (Runner): The runner.
        partial (bool): Take what fits, except for a resumed run.
    """
    load = type(runner).load_checkpoint

    @functools.wraps(load)
    def load_checkpoint(filename: str, *args: Any, **kwargs: Any) -> dict:
        if partial and not runner._resume:
            return load(runner, filename, *args, **kwargs)
        try:
            return load(runner, filename, *args, **dict(kwargs, strict=True))
        except RuntimeError as error:
            if 'do not match exactly' not in str(error):
                raise
            lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
            more = [f'... ({len(lines) - _LINES} more)'] if len(lines) > _LINES else []
            shown = [
                line if len(line) <= _WIDTH else f'{line[:_WIDTH]} ...' for line in lines[:_LINES]
            ]
            way_out = (
                'resume with the config of the run (a copy lies in its work directory)'
                if runner._resume
                else f'give the config it was trained with, or say {_PARTIAL} to take what fits'
            )
            raise ValueError(
                '\n  '.join([f'{filename} is of another model: {way_out}', *shown, *more])
            ) from None

    return load_checkpoint


def resume_with_reasons(runner: Runner) -> Callable[..., None]:
    """``runner.resume``, whose errors name the file and say what it is not."""
    resume = type(runner).resume

    @functools.wraps(resume)
    def explained(filename: str, *args: Any, **kwargs: Any) -> None:
        try:
            resume(runner, filename, *args, **kwargs)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f'{filename} cannot be resumed: it does not hold the state of a training run of '
                f'this model ({type(error).__name__}: {error}). Start anew from its weights with '
                'load_from'
            ) from error
        except ValueError as error:
            raise ValueError(
                str(error) if str(filename) in str(error) else f'{filename}: {error}'
            ) from error

    return explained


def refuse_other_run(
    runner: Runner, checkpoint: Mapping[str, Any], resume: bool, partial: bool
) -> None:
    """ValueError where structure, weights or classes of a checkpoint are not those of this run.

    With ``resume`` the run is resumed, else only weights are taken, with ``partial`` what fits.
    """
    if resume:
        _refuse_no_run(checkpoint)
        model = unwrap(runner.model)
        expected = without_wrappers(model, model.state_dict()).keys()
        _refuse_other_weights(expected, checkpoint['state_dict'].keys())
    if resume or not partial:
        _refuse_other_classes(_classes_of(checkpoint), _training_classes(runner), resume)


def _refuse_no_run(checkpoint: Mapping[str, Any]) -> None:
    meta, state = checkpoint.get('meta'), checkpoint.get('state_dict')
    missing: List[str] = []
    if not isinstance(state, Mapping):
        missing.append('weights (state_dict)')
    for key in ('iter', 'epoch'):
        value = meta.get(key) if isinstance(meta, Mapping) else None
        if type(value) is not int or value < 0:
            missing.append(f'meta.{key}')
    if not isinstance(checkpoint.get('message_hub'), Mapping):
        missing.append('message_hub')
    if missing:
        raise ValueError(
            f'it cannot be resumed, having no {", ".join(missing)}: it is not a checkpoint of a '
            'training run. To start anew from its weights say load_from'
        )


def _refuse_other_weights(expected: Iterable[str], found: Iterable[str]) -> None:
    """Raise ValueError when a run would be resumed with weights missing or left over."""
    expected, found = set(expected), set(found)
    if expected == found:
        return
    parts = []
    for what, names in (('missing', expected - found), ('not of this model', found - expected)):
        if names:
            parts.append(f'{len(names)} weights {what}, e.g. {min(names)}')
    raise ValueError(
        f'the checkpoint is of another model: {"; ".join(parts)}. Resume with the config of the '
        'run, or start anew from its weights with load_from.'
    )


def _refuse_other_classes(
    trained: Optional[List[str]], ours: Optional[List[str]], resume: bool
) -> None:
    if not trained or not ours or trained == ours:
        return
    if resume:
        raise ValueError(
            f'the checkpoint was trained with the classes {trained}, this run has {ours}: labels '
            'would change their meaning in the middle of the run. Give '
            'train_dataloader.dataset.metainfo.classes as they were'
        )
    if sorted(trained) == sorted(ours):
        raise ValueError(
            f'the weights of load_from were trained with the classes {trained}, this run has the '
            f'same ones in another order, {ours}: each would start as another one. Give '
            'train_dataloader.dataset.metainfo.classes in the order of the weights, or say '
            f'{_PARTIAL}'
        )


def _classes_of(checkpoint: Mapping[str, Any]) -> Optional[List[str]]:
    meta = checkpoint.get('meta')
    data = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    return _as_classes(data)


def _training_classes(runner: Runner) -> Optional[List[str]]:
    # Not runner.train_loop, which builds the loop of a run that only tests.
    dataset = getattr(getattr(runner._train_loop, 'dataloader', None), 'dataset', None)
    return _as_classes(getattr(dataset, 'metainfo', None))


def _as_classes(data: Any) -> Optional[List[str]]:
    classes = data.get('classes') if isinstance(data, Mapping) else None
    return [str(name) for name in classes] if isinstance(classes, (list, tuple)) else None
