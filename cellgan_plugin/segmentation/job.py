"""One training of a segmentation benchmark, in its own process and its own directory.

python -m cellgan_plugin.segmentation.job WORK_DIR/job.json

Trains the run of the directory to its end, segments the test images once with the final weights,
and leaves ``scores.json`` when everything is done. Stopped at any moment, the same command goes on.
"""

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmagic.registry import DATASETS
from mmengine.config import Config
from torch import Tensor, nn

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.whole_images import MaskMeaning, WholeImage, list_whole_images
from cellgan_plugin.evaluation import build_extractor
from cellgan_plugin.evaluation.mask_generation import evaluate_generated
from cellgan_plugin.evaluation.segmentation import ImageScores, ObjectRule
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.runs.job_program import CONFIG_NAME, JOB_NAME, job_program, train_to_the_end
from cellgan_plugin.segmentation.evaluate_masks import (
    SCORES_NAME,
    PredictedMasks,
    save_scores,
    score_masks,
)
from cellgan_plugin.segmentation.segment import predict_masks
from cellgan_plugin.segmentation.sheets import mask_sheet
from cellgan_plugin.user_modules import read_config
from cellgan_plugin.visualization import image_grid, mask_picture

__all__ = ['CONFIG_NAME', 'JOB_NAME', 'MASKS_DIR', 'job_images', 'job_meaning', 'run_job']
MASKS_DIR = 'masks'
SHEET_NAME = 'generated.png'
SAMPLES_DIR, MASK_SAMPLES, GENERATED, ORIGINALS = 'samples', 'mask', 'generated', 'original'
_SHEET_IMAGES = 8
# The scores while there are checkpoints left to remove; SCORES_NAME says that the job is done.
_UNFINISHED = '.scores.json'


def job_images(job: Dict[str, Any]) -> List[WholeImage]:
    """The test images of a job."""
    return list_whole_images(
        job['images'], job['split'], root=job['data_root'], label_column=job['label_column']
    )


def job_meaning(job: Dict[str, Any]) -> MaskMeaning:
    """What the true masks of a job mean."""
    mask_map = job['mask_map']
    return MaskMeaning(
        tuple(job['classes']),
        None if mask_map is None else {int(k): int(v) for k, v in mask_map.items()},
        job['instances'],
    )


def run_job(path: Union[str, Path]) -> Path:
    """Run a job to its end.

    Args:
        path (str | Path): ``job.json``; its folder is the job's work directory.

    Returns:
        Path: ``scores.json``, written last.

    Raises:
        JobStopped: It was told to stop (SIGTERM, SIGUSR1) and has saved.
        ValueError: The model does not segment.
    """
    path = Path(path).resolve()
    work_dir = path.parent
    job = json.loads(path.read_text(encoding='utf-8'))
    if (work_dir / _UNFINISHED).is_file():  # killed while it removed its checkpoints
        return _finish(work_dir, job)
    images = job_images(job)  # before any second of training is spent
    meaning, rule = job_meaning(job), ObjectRule(**job['rule'])
    config = read_config(work_dir / CONFIG_NAME)
    scale = training_scale(config)
    runner = train_to_the_end(work_dir)
    model = unwrap(runner.model)
    said = dict(job['cell'], iterations=runner.iter, scale=scale)
    scores: List[ImageScores] = []
    if job['segments']:
        if not hasattr(model, 'segment_whole') or getattr(model, 'segmenters', model) is None:
            raise ValueError(
                f'{type(model).__name__} has no segmenter: give the method a config that has one, '
                'or the benchmark metrics=[] for generators alone'
            )
        out = work_dir / MASKS_DIR
        predict_masks(
            model, images, out, rule, overlays=False, meaning=meaning, scale=scale, calibrate=True
        )
        scores = score_masks(images, PredictedMasks(out), meaning, rule, job['parts'])
        mask_sheet(out, images, meaning.classes)
    if job['generation'] and getattr(model, 'generators', None) is not None:
        said['generation'] = _evaluate_images(model, config, job, work_dir)
    save_scores(work_dir / _UNFINISHED, scores, meaning.classes, said)
    return _finish(work_dir, job)


def _finish(work_dir: Path, job: Dict[str, Any]) -> Path:
    """Remove the checkpoints, now that the scores are on the disk, and say that all is done."""
    if not job['keep_weights']:
        for checkpoint in work_dir.glob('*.pth'):
            checkpoint.unlink()
    return (work_dir / _UNFINISHED).replace(work_dir / SCORES_NAME)


class MaskTiles:
    """Real tiles of a run's data and their masks, at the size that the run trains on.

    Args:
        config (Config): Of the run.
        split (Sequence[str]): Of its manifest.
    """

    def __init__(self, config: Config, split: Sequence[str]):
        options = dict(config.train_dataloader.dataset)
        options.update(
            split=list(split),
            labelled_ratio=None,
            labelled_only=False,
            transductive=[],
            test_mode=True,
            cache=None,
            pipeline=[
                transform
                for transform in options['pipeline']
                if not transform['type'].split('.')[-1].startswith('Random')
            ],
        )
        self.dataset = DATASETS.build(options)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tuple[Tensor, Tensor]:
        """uint8 (3, H, W) and class ids (H, W)."""
        inputs = self.dataset[index]['inputs']
        return inputs['img'], inputs['mask']


def _evaluate_images(
    model: nn.Module, config: Config, job: Dict[str, Any], work_dir: Path
) -> Dict[str, Any]:
    """Scores of the images that a model makes of masks; a sheet of some is written."""
    options = dict(job['generation'])
    extractor = build_extractor(options.pop('extractor')).to(next(model.parameters()).device)
    pairs = MaskTiles(config, options.pop('split', None) or job['split'])
    scores, images = evaluate_generated(
        model.eval(), pairs, extractor, keep=_SHEET_IMAGES, **options
    )
    rows = [image.permute(1, 2, 0).numpy() for image in images]
    real = [pairs[i][0].permute(1, 2, 0).numpy() for i in range(len(images))]
    masks = [mask_picture(pairs[i][1].numpy()) for i in range(len(images))]
    write_png(
        work_dir / SHEET_NAME, image_grid([masks, rows, real], ['mask', 'generated', 'original'])
    )
    for name, pictures in ((MASK_SAMPLES, masks), (GENERATED, rows), (ORIGINALS, real)):
        for index, picture in enumerate(pictures):
            write_png(work_dir / SAMPLES_DIR / f'{name}_{index}.png', picture)
    return scores.as_dict()


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the job file named on the command line."""
    return job_program(run_job, __doc__, arguments)


if __name__ == '__main__':
    sys.exit(main())
