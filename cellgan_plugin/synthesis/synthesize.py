"""Write synthetic images by the thousand: what ``tools/synthesize.py`` does, for a notebook."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import (
    barrier,
    broadcast_object_list,
    get_dist_info,
    init_dist,
    is_distributed,
    is_main_process,
)
from mmengine.logging import print_log
from torch import Tensor

from cellgan_plugin.compat import start_cpu_process_group
from cellgan_plugin.datasets.content_hash import split_groups, write_provenance
from cellgan_plugin.datasets.file_history import JpegStyle, list_image_files, style_of
from cellgan_plugin.datasets.image_encoding import check_format
from cellgan_plugin.errors import SynthesisError, explained_output_errors
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import read_json
from cellgan_plugin.runs.image_sampler import (
    GPU_BATCH_SIZE,
    ImageSampler,
    Progress,
    chunks,
    sample_many,
)
from cellgan_plugin.runs.sampling import LabelAndSeed, Sampling
from cellgan_plugin.runs.test import software
from cellgan_plugin.runs.trained_model import LoadedModel
from cellgan_plugin.synthesis.folder import (
    RECORD_NAME,
    SynthesisFolder,
    check_folder_names,
    shown_size,
)
from cellgan_plugin.synthesis.request import wanted_rows


@dataclass
class _Plan:
    """What the first rank found out and the others follow.

    Attributes:
        record (dict | None): Of the folder; None when nothing was written yet.
        protocol (dict): What all images of the folder have in common.
        complete (set): Images that are there.
        todo (list): Images to make.
    """

    record: Optional[Dict[str, Any]]
    protocol: Dict[str, Any]
    complete: Set[LabelAndSeed]
    todo: List[LabelAndSeed]


@writes_folder('out')
def synthesize(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]],
    out: Union[str, Path],
    per_class: Optional[int] = None,
    classes: Optional[Dict[str, Optional[int]]] = None,
    seeds: Optional[Iterable[int]] = None,
    truncation: Optional[float] = None,
    fmt: Optional[str] = None,
    like: Optional[Union[str, Path]] = None,
    batch_size: int = GPU_BATCH_SIZE,
    sample_model: Optional[str] = None,
    sample_kwargs: Optional[dict] = None,
    device: Optional[str] = None,
    precision: str = 'auto',
    workers: Optional[int] = None,
    sheet: int = 8,
    options: Optional[dict] = None,
    launcher: str = 'none',
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Generate images into class folders with a manifest.

    ``<out>/<class>/<class>_<seed>.<fmt>``, ``manifest.csv``, ``synthesis.json`` (the protocol),
    ``metadata.csv`` and ``README.md`` (for Hugging Face datasets); in ``__about__``, ``sheet.png``,
    and ``training_images.txt`` where the checkpoint says what it was trained on.

    An image depends on its class, its seed and the protocol alone. Files are whole or absent; the
    same call continues what was interrupted, and does nothing, without loading the model, when
    all is there. More seeds or classes may be added later.

    Args:
        config (str | Path | Config): The run that the model comes from, or the name of a shipped
            model.
        checkpoint (str | Path, optional): A file, or a work directory; None for a shipped model.
        out (str | Path): A new folder, or one to continue.
        per_class (int, optional): Images of each class: those of the seeds 0, 1, ..., or the first
            ones of ``seeds``. Defaults to None.
        classes (dict, optional): Numbers of single classes in place of ``per_class``; see
            :func:`~cellgan_plugin.synthesis.request.wanted_rows`. Defaults to None.
        seeds (Iterable[int], optional): The seeds, e.g. ``range(2000)``. Defaults to None.
        truncation (float, optional): Bound of the truncated normal distribution that z is of;
            smaller is more typical and less varied. Defaults to None: not truncated.
        fmt (str, optional): 'png', 'tif', 'webp' (lossless) or 'jpg' (quality 95). Defaults to
            None: 'png', or as ``like`` has it.
        like (str | Path, optional): Real images, a folder or a manifest: files are written in
            their format, JPEGs with their quantisation tables and colour sampling, so that no
            classifier tells real from synthetic by the compression. Defaults to None.
        batch_size (int): Images per call of the network on a GPU. On a CPU every core takes one
            image at a time, whatever this says. Defaults to 64.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is one.
        sample_kwargs (dict, optional): For the model's generator. Defaults to None.
        device (str, optional): Defaults to None: a GPU where there is one.
        precision (str): 'fp32', 'bf16', 'fp16', or 'auto': fp16 on a GPU. Defaults to 'auto'.
        workers (int, optional): Threads that sample. Defaults to None: one per core, two on a GPU.
        sheet (int): Images of each class on ``sheet.png``; 0 for none. Defaults to 8.
        options (dict, optional): Overrides of the config. Defaults to None.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi': several processes share the work.
        overwrite (bool): Delete what ``out`` holds where it was made from something else. Defaults
            to False.

    Returns:
        dict: ``images`` in the folder, ``made`` by this call (of all processes), ``seconds`` of
        sampling, ``out``, ``manifest`` and ``protocol``.

    Raises:
        RecordError: A folder of something else, or with images of other settings.
        SynthesisError: A setting that cannot be.
        OutputError: No room or no permission; what was written is whole.
        FileNotFoundError: No such config or checkpoint.
        FloatingPointError: The model has diverged.
    """
    began = time.time()
    folder = SynthesisFolder(out)
    sampling = Sampling.settle(
        config, checkpoint, device, truncation, sample_model, sample_kwargs, precision, batch_size,
        options=options,
    )  # fmt: skip
    fmt, folder.jpeg = _style(fmt, like)
    _start_processes(launcher)

    def plan() -> _Plan:
        wanted = (per_class, classes, None if seeds is None else list(seeds))
        return _make_plan(folder, sampling, fmt, wanted, overwrite)

    found = _from_main(plan)
    result = dict(out=str(folder.root), protocol=found.protocol, made=0, seconds=0.0)
    if found.todo:
        _ = sampling.loaded  # its time is not the sampling's
        started = time.perf_counter()
        _generate(folder, found, sampling, workers)
        _wait_for_all()
        result.update(made=len(found.todo), seconds=round(time.perf_counter() - started, 3))
    rows = found.complete | set(found.todo)
    result.update(images=len(rows), manifest=str(folder.manifest_path))
    if is_main_process():
        _finish(folder, found, rows, result, sheet, began)
    _wait_for_all()
    return result


def _style(fmt: Optional[str], like: Optional[Union[str, Path]]) -> Tuple[str, Optional[JpegStyle]]:
    """Format of the files, and how a JPEG is compressed."""
    if like is None:
        return check_format(fmt or 'png'), None
    if fmt is not None:
        raise SynthesisError('give either a format or real images to be like')
    root, files = list_image_files(like)
    if not files:
        raise SynthesisError(f'{like}: no image to be like; expected a folder or a manifest')
    style = style_of([str(root / file) for file in files])
    # BMP and the like are lossless: so is PNG.
    known = {'JPEG': 'jpg', 'PNG': 'png', 'TIFF': 'tif'}
    return known.get(style.format, 'png'), style.jpeg


def _start_processes(launcher: str) -> None:
    if launcher != 'none' and not start_cpu_process_group(launcher) and not is_distributed():
        # Nothing but this plan and the signal to go on passes between the processes.
        init_dist(launcher, backend='gloo')


def _wait_for_all() -> None:
    """A barrier without the usual limit of half an hour: the slowest GPU may take longer."""
    if is_distributed() and torch.distributed.get_backend() == 'gloo':
        torch.distributed.monitored_barrier(timeout=timedelta(days=7))
    else:
        barrier()


def _from_main(function: Callable[[], Any]) -> Any:
    """What ``function`` returns on the first rank, or raises there, on every rank."""
    found: List[Any] = [None, None]
    if is_main_process():
        try:
            found[0] = function()
        except Exception as error:
            found[1] = error
    broadcast_object_list(found)
    if found[1] is not None:
        raise found[1]
    return found[0]


def _make_plan(
    folder: SynthesisFolder,
    sampling: Sampling,
    fmt: str,
    wanted: Tuple[Optional[int], Optional[dict], Optional[List[int]]],
    overwrite: bool,
) -> _Plan:
    # Of the same weights and config, which the classes follow from, they are on record.
    former = (read_json(folder.record.path) or {}).get('protocol') or {}
    same = all(former.get(key) == value for key, value in sampling.hashes.items())
    names = list((same and former.get('classes')) or sampling.classes)
    jpeg = {} if folder.jpeg is None else dict(jpeg=folder.jpeg._asdict())
    protocol = dict(
        sampling.settings,
        image_format=fmt,
        **jpeg,
        images_per_call=sampling.images_per_call,
        classes=names,
        **sampling.hashes,
    )
    record = folder.record.check(dict(protocol=protocol), overwrite=overwrite)
    check_folder_names(names)
    rows = wanted_rows(names, *wanted)
    complete = folder.complete(record) if record is not None else set()
    return _Plan(record, protocol, complete, [row for row in rows if row not in complete])


def _record(loaded: LoadedModel, plan: _Plan, shape: Sequence[int]) -> Dict[str, Any]:
    """The content of ``synthesis.json``, with an entry for the run that begins."""
    seen = loaded.training_images
    record = plan.record or dict(
        protocol=plan.protocol,
        image_shape=list(shape),
        config=str(loaded.config.filename),
        checkpoint=str(loaded.checkpoint.resolve()),
        iteration=loaded.iteration,
        training_images=None if seen is None else len(split_groups(seen)[0]),
        training_views=loaded.training_views and list(loaded.training_views),
        runs=[],
    )
    device = next(loaded.model.parameters()).device
    run = dict(
        started=time.strftime('%Y-%m-%dT%H:%M:%S'),
        images=len(plan.todo),
        **software(),
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu',
        processes=get_dist_info()[1],
    )
    changed = [
        f'{key} {record["runs"][0][key]} -> {run[key]}'
        for key in ('cellgan_plugin', 'torch', 'device')
        if record['runs'] and record['runs'][0].get(key) != run[key]
    ]
    if changed:
        print_log(
            f'continued with {", ".join(changed)}: pixels may differ by a grey level from what '
            f'the first run would have made; {RECORD_NAME} lists the runs',
            level=30,
        )
    record['runs'].append(run)
    return record


def _generate(
    folder: SynthesisFolder, plan: _Plan, sampling: Sampling, workers: Optional[int]
) -> None:
    """Make the images of this rank."""
    sampler = sampling.sampler()
    rank, processes = get_dist_info()
    batches = chunks(plan.todo, sampler.images_per_call)[rank::processes]

    def inputs_of(rows: Sequence[LabelAndSeed]) -> Tuple[Tensor, Tensor]:
        return sampling.noise(rows), torch.tensor([label for label, _ in rows])

    def write(row: LabelAndSeed, image: np.ndarray) -> None:
        name = plan.protocol['classes'][row[0]]
        folder.write_image(name, row[1], plan.protocol['image_format'], image)

    progress = Progress(len(plan.todo), 'Synthesising', is_main_process(), processes)
    try:
        if is_main_process():
            _begin(folder, plan, sampling.loaded, sampler, inputs_of, batches.pop(0), progress)
        _wait_for_all()  # the other ranks write only into a folder that says whose it is
        rows = [row for batch in batches for row in batch]
        sample_many(sampler, rows, inputs_of, write, workers, progress=progress)
    finally:
        progress.close()


def _begin(
    folder: SynthesisFolder,
    plan: _Plan,
    loaded: LoadedModel,
    sampler: ImageSampler,
    inputs_of: Callable,
    batch: Sequence[LabelAndSeed],
    progress: Progress,
) -> None:
    """Make the first batch; write it, and the record, when all will fit on the disk."""
    first: Dict[LabelAndSeed, np.ndarray] = {}
    before = _random_state(sampler.device)
    started = time.perf_counter()
    sample_many(sampler, batch, inputs_of, first.__setitem__, workers=1)
    seconds = time.perf_counter() - started
    if _random_state(sampler.device) != before:
        raise SynthesisError(
            f'{type(loaded.model).__name__} draws random numbers of its own while it samples, so '
            'that images would depend on their order and could not be made again. Set it to '
            'sample from its noise and label alone (a diffusion model: a deterministic sampler)'
        )
    shape = first[batch[0]].shape
    if plan.record is not None and tuple(plan.record['image_shape']) != shape:
        raise SynthesisError(
            f'the images in {folder.root} are {tuple(plan.record["image_shape"])}, the model makes '
            f'{shape}: choose another folder'
        )
    fmt, names = plan.protocol['image_format'], plan.protocol['classes']
    sizes = [len(folder.encode(image, fmt)) for image in first.values()]
    folder.check_room(len(plan.todo), sum(sizes) / len(sizes))
    room = shown_size(len(plan.todo) * sum(sizes) / len(sizes))
    left = timedelta(seconds=round(seconds / len(first) * len(plan.todo) / get_dist_info()[1]))
    print_log(
        f'{len(plan.todo)} images: about {room} on the disk of {folder.root}, and {left} at the '
        f'pace of the first {len(first)}, sampled by one thread (h:mm:ss)'
    )
    # The record makes the folder ours, so it comes before the first image.
    plan.record = _record(loaded, plan, shape)
    folder.record.write(plan.record)
    if loaded.training_images is None:
        print_log(
            f'{loaded.checkpoint.name} does not say which images it was trained on: the benchmark '
            'cannot rule out that its test images are among them',
            level=30,
        )
    else:
        with explained_output_errors(folder.root):
            write_provenance(folder.root, loaded.training_images)
    for (label, seed), image in first.items():
        folder.write_image(names[label], seed, fmt, image)
        progress.update()


def _random_state(device: torch.device) -> bytes:
    state = torch.get_rng_state().numpy().tobytes()
    if device.type == 'cuda':
        state += torch.cuda.get_rng_state(device).numpy().tobytes()
    return state


def _finish(
    folder: SynthesisFolder,
    plan: _Plan,
    rows: Set[LabelAndSeed],
    result: Dict[str, Any],
    sheet: int,
    began: float,
) -> None:
    """Write sheet, record and manifest; the manifest comes last and says that all is there."""
    names = plan.protocol['classes']
    if not plan.todo and folder.listed(names) == rows and folder.handed_over:
        print_log(f'{folder.root}: all images are there already ({len(rows)} in the manifest)')
        return
    folder.check_written(plan.record, rows)
    folder.remove_litter(names, began)
    if sheet:
        folder.write_sheet(plan.record, rows, sheet)
    if plan.todo:
        plan.record['runs'][-1].update(
            finished=time.strftime('%Y-%m-%dT%H:%M:%S'), seconds=result['seconds']
        )
        folder.record.write(plan.record)
    folder.write_card(plan.record, rows)
    folder.write_manifest(plan.record, rows)
    rate = f', {result["made"] / result["seconds"]:.1f} a second' if result['seconds'] else ''
    print_log(f'{folder.root}: {len(rows)} images, {result["made"]} new{rate}')
