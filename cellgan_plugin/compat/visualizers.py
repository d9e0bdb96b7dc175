"""MMEngine's visualizers: TensorBoard, W&B, MLflow and others, beside the files of a run."""

import functools
import re
from typing import Any

_NOT_IN_MLFLOW = re.compile(r'[^/\w.\- ]')


def show_image(visualizer: Any, name: str, image: Any, step: int) -> None:
    """Give an image, uint8 RGB (H, W, 3), to every backend of a visualizer but the one of files.

    ``Visualizer.add_image`` gives it to all, and :class:`mmengine.visualization.LocalVisBackend`
    would write a second copy of what lies in the work directory already.
    """
    from mmengine.visualization import LocalVisBackend

    for backend in visualizer._vis_backends.values():
        if not isinstance(backend, LocalVisBackend):
            backend.add_image(name, image, step=step)


def mlflow_name(name: str) -> str:
    """A name as MLflow takes it: ``FD(ResNet)/NILM`` is refused there.

    >>> mlflow_name('FD(ResNet)/NILM'), mlflow_name('ASC-US: 2')
    ('FD_ResNet_/NILM', 'ASC-US_ 2')
    """
    return _NOT_IN_MLFLOW.sub('_', name)


def make_mlflow_names_valid() -> None:
    """Let ``MLflowVisBackend`` name metrics and images as MLflow wants them.

    For: mmengine 0.10.7 and before, which hand names on as they are. MLflow refuses metrics whose
    name has more than letters, digits and ``_ - . / `` and blanks, which ends the training, and
    images whose name has no ending that says the format; of images of one name it keeps the last,
    so that the iteration becomes part of it.
    """
    from mmengine.visualization.vis_backend import MLflowVisBackend as Backend

    if getattr(Backend.add_image, 'names_are_valid', False):
        return
    add_image, add_scalar, add_scalars = Backend.add_image, Backend.add_scalar, Backend.add_scalars

    @functools.wraps(add_image)
    def image_of_a_step(self, name, image, step=0, **kwargs):
        return add_image(self, f'{mlflow_name(name)}_{step:08d}.png', image, step, **kwargs)

    @functools.wraps(add_scalar)
    def valid_scalar(self, name, value, step=0, **kwargs):
        return add_scalar(self, mlflow_name(name), value, step, **kwargs)

    @functools.wraps(add_scalars)
    def valid_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        named = {mlflow_name(name): value for name, value in scalar_dict.items()}
        return add_scalars(self, named, step, file_path, **kwargs)

    image_of_a_step.names_are_valid = True
    Backend.add_image, Backend.add_scalar = image_of_a_step, valid_scalar
    Backend.add_scalars = valid_scalars
