"""Many images from one model, as fast as the machine makes them and the same on every run."""

import contextlib
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, Callable, Deque, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from cellgan_plugin.datasets.memory import local_processes
from cellgan_plugin.machine import usable_cores
from cellgan_plugin.models.sampling import default_sample_model, sample_pixels

PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}
GPU_BATCH_SIZE = 64
_MAX_WRITERS = 16  # a PNG of 256 px takes a core 7 ms
_LOG_SECONDS = 60

Inputs = Tuple[Tensor, Tensor]


def resolve_precision(precision: str, device: torch.device) -> str:
    """``'auto'`` is fp16 on a CUDA device and fp32 elsewhere; other names are checked.

    fp16 rather than bf16: three more bits of mantissa, and normalised activations do not need the
    range of bf16.
    """
    if precision == 'auto':
        return 'fp16' if device.type == 'cuda' else 'fp32'
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: must be 'auto' or one of {list(PRECISIONS)}")
    return precision


def available_cores() -> int:
    """Cores that this process may use, shared fairly with the other processes of the run."""
    return max(1, usable_cores() // local_processes())


class _HostImages:
    """Images on their way to the host."""

    def __init__(self, pixels: Tensor, ready: Optional[Any] = None):
        self._pixels = pixels
        self._ready = ready

    def __getitem__(self, index: int) -> np.ndarray:
        if self._ready is not None:
            self._ready.synchronize()
        return self._pixels[index].numpy()


class ImageSampler:
    """Calls a model always with the same number of images, whatever is asked for.

    Floating-point sums depend in their last bits on the shape of a batch. With one shape for all
    calls (short batches are filled up, and cut again) the pixels of an image depend on its noise
    and label alone. On a CPU that shape is one image: a core is fastest with what fits its cache,
    and the cores each take an image of their own.

    Args:
        model (nn.Module): On its device, best made ready by
            :func:`~cellgan_plugin.models.fusing.fuse_for_sampling`.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is one.
        sample_kwargs (dict, optional): For the model's generator. Defaults to None.
        batch_size (int): Images per call on a GPU. Defaults to 64.
        precision (str): 'auto', 'fp32', 'bf16' or 'fp16' (autocast); see
            :func:`resolve_precision`.

    Attributes:
        images_per_call (int): The fixed number of images.
        precision (str): 'fp32', 'bf16' or 'fp16'.
    """

    def __init__(
        self,
        model: nn.Module,
        sample_model: Optional[str] = None,
        sample_kwargs: Optional[dict] = None,
        batch_size: int = GPU_BATCH_SIZE,
        precision: str = 'auto',
    ):
        self.model = model
        self.device = next(model.parameters()).device
        self.sample_model = sample_model or default_sample_model(model)
        self.sample_kwargs = dict(sample_kwargs or {})
        self.images_per_call = images_per_call(self.device, batch_size)
        self.precision = resolve_precision(precision, self.device)

    def __call__(self, noise: Tensor, labels: Tensor) -> _HostImages:
        """Generate up to ``images_per_call`` images, inside of :meth:`worker`.

        Args:
            noise (Tensor): (N, noise_size), on the CPU.
            labels (Tensor): (N,) int or (N, num_classes) float.

        Returns:
            A sequence of N uint8 arrays (H, W, C), RGB; indexing waits for the copy from the GPU.
        """
        count = len(noise)
        if count > self.images_per_call:
            raise ValueError(f'{count} images, but a call takes {self.images_per_call}')
        rows = torch.arange(self.images_per_call).clamp_(max=count - 1)
        pixels = sample_pixels(
            self.model, noise[rows], labels[rows], self.sample_model, self.sample_kwargs
        )
        pixels = pixels[:count].permute(0, 2, 3, 1).contiguous()
        if self.device.type != 'cuda':
            return _HostImages(pixels.cpu())
        host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
        host.copy_(pixels, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        return _HostImages(host, ready)

    @contextlib.contextmanager
    def worker(self) -> Iterator[None]:
        """What a thread that calls the sampler has to be inside of."""
        with contextlib.ExitStack() as stack:
            if self.device.type == 'cpu':
                # One thread per image: no waiting for each other after every layer, and sums that
                # do not depend on the number of cores.
                torch.set_num_threads(1)
            elif self.device.type == 'cuda':
                torch.cuda.set_device(self.device)  # threads start at device 0
                stack.enter_context(torch.cuda.stream(torch.cuda.Stream(self.device)))
            stack.enter_context(torch.inference_mode())
            dtype = PRECISIONS[self.precision]
            if dtype is not None:
                stack.enter_context(torch.autocast(self.device.type, dtype))
            yield

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """What :func:`sample_many` is inside of: the same kernels in every run."""
        threads = torch.get_num_threads()
        tf32 = torch.backends.cudnn.allow_tf32
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32
            ):
                if self.device.type == 'cuda':
                    torch.cuda.synchronize(self.device)  # the weights are there for every stream
                yield
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryError(
                f'the GPU has no room for {self.images_per_call} images at a time: give a smaller '
                'batch size (--batch-size)'
            ) from error
        except FloatingPointError as error:
            if self.precision == 'fp32':
                raise
            raise FloatingPointError(
                f'the generator gives NaN or infinite images in {self.precision}: try --precision '
                'bf16 or fp32; if they stay, the model has diverged: use an earlier checkpoint'
            ) from error
        finally:
            torch.set_num_threads(threads)


def images_per_call(device: torch.device, batch_size: int) -> int:
    """How many images the network is called with: one on a CPU, ``batch_size`` elsewhere."""
    if batch_size < 1:
        raise ValueError(f'batch size {batch_size}: must be at least 1')
    return 1 if device.type == 'cpu' else batch_size


class Progress:
    """Images so far, images per second and the time left: a bar on a terminal, lines in a log.

    Args:
        total (int): Images.
        title (str): What is done.
        shown (bool): False on all ranks but one. Defaults to True.
        processes (int): Ranks that share the total; the others are taken to be as fast as this
            one. Defaults to 1.
    """

    def __init__(self, total: int, title: str, shown: bool = True, processes: int = 1):
        from tqdm import tqdm

        self.total = total
        self.title = title
        self.processes = processes
        self.done = 0
        self.shown = shown
        self._bar = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=title, unit='img', smoothing=0.1)
        self._started = self._logged = time.monotonic()
        self._lock = threading.Lock()

    def update(self, images: int = 1) -> None:
        """Count images of this rank; called from any thread."""
        with self._lock:
            step = min(images * self.processes, self.total - self.done)
            self.done += step
            now = time.monotonic()
            if self._bar is not None:
                self._bar.update(step)
            elif self.shown and now - self._logged >= _LOG_SECONDS:
                self._logged = now
                rate = self.done / (now - self._started)
                minutes = (self.total - self.done) / rate / 60
                print_log(
                    f'{self.title}: {self.done} of {self.total} images, {rate:.1f} images/s, '
                    f'{minutes:.0f} min left'
                )

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def chunks(items: Sequence, size: int) -> List[Sequence]:
    """Cut a sequence into pieces of ``size``; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def sample_many(
    sampler: ImageSampler,
    items: Sequence[Any],
    inputs_of: Callable[[Sequence[Any]], Inputs],
    consume: Callable[[Any, np.ndarray], None],
    workers: Optional[int] = None,
    writers: Optional[int] = None,
    progress: Optional[Progress] = None,
) -> None:
    """Generate an image for every item and hand it on, in no particular order.

    Some threads keep the device busy, others encode and write; none of them holds Python's lock
    for long. Memory is bounded: a thread waits when the writers fall behind.

    Args:
        sampler (ImageSampler): The model.
        items (Sequence): Anything that tells one image from another.
        inputs_of (Callable): Items to noise (N, noise_size) and labels.
        consume (Callable): Takes an item and its image, uint8 (H, W, C) RGB; called from several
            threads.
        workers (int, optional): Threads that call the network. Defaults to None: one per core on
            a CPU; two on a GPU, so that it computes one batch while the next is prepared.
        writers (int, optional): Threads that call ``consume``. Defaults to None: one per core, at
            most 16.
        progress (Progress, optional): Is told of every image.

    Raises:
        Exception: The first error of any thread, after all of them have stopped.
    """
    on_cpu = sampler.device.type == 'cpu'
    workers = workers or (available_cores() if on_cpu else 2)
    writers = writers or min(_MAX_WRITERS, available_cores())
    batches = iter(chunks(items, sampler.images_per_call))
    workers = max(1, min(workers, len(items)))
    lock, stop = threading.Lock(), threading.Event()
    # Of every worker, so that the writers always have something to do.
    pending_batches = 2 * writers if sampler.images_per_call == 1 else 2

    def next_batch() -> Optional[Sequence[Any]]:
        with lock:
            return None if stop.is_set() else next(batches, None)

    def deliver(images: _HostImages, index: int, item: Any) -> None:
        consume(item, images[index])
        if progress is not None:
            progress.update()

    def compute(pool: ThreadPoolExecutor) -> None:
        pending: Deque[List[Future]] = deque()
        try:
            with sampler.worker():
                while (batch := next_batch()) is not None:
                    images = sampler(*inputs_of(batch))
                    if len(pending) == pending_batches:
                        _wait(pending.popleft())
                    pending.append(
                        [pool.submit(deliver, images, i, item) for i, item in enumerate(batch)]
                    )
                while pending:
                    _wait(pending.popleft())
        except BaseException:
            stop.set()
            raise

    with (
        sampler.session(),
        ThreadPoolExecutor(writers, 'write') as pool,
        ThreadPoolExecutor(workers, 'sample') as computers,
    ):
        try:
            for done in as_completed([computers.submit(compute, pool) for _ in range(workers)]):
                done.result()
        finally:
            stop.set()


def _wait(futures: List[Future]) -> None:
    for future in futures:
        future.result()
