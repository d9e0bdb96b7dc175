"""How a training step scales to two processes, what it sends, and a paper model of more.

Two processes with one thread each take steps in three ways, by turns: one alone; both, each for
itself; both as ranks of one training (gloo), whose gradients are averaged. All have the same batch
per process, so the ideal is the same time. The second against the first is what sharing the machine
costs, the third against the second is what communication costs::

    python tools/benchmarks/scale_out.py --json scale_out.json --plot scale_out.png
    python tools/benchmarks/scale_out.py --model-only --step-ms 30     # the paper model alone

The bytes are counted where the gradients are averaged. The paper model adds to the step of one GPU
what the all-reduces of W GPUs take, ``2 (W - 1) / W x bytes / bandwidth`` (ring) and a latency for
each of log2 W messages, less what ``--overlap`` of the step hides. Its bandwidths are those of the
command line; nothing of it is measured on GPUs.
"""

import argparse
import logging
import math
import multiprocessing
import socket
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
import torch.distributed as dist
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS, init_default_scope
from timing import (
    Measurement,
    Race,
    TimingReport,
    check_timing_arguments,
    cpu_seconds,
    describe_machine,
    limit_threads,
    publish,
    timing_parser,
)
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from cellgan_plugin.models.model_checks import generated_shape
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.runs.train import load_config

ALONE, APART, TOGETHER = 'one process', 'two, each for itself', 'two gloo ranks'


class Counter:
    """Sums up what goes through the all-reduces of gradients."""

    def __init__(self) -> None:
        self.bytes = self.calls = 0

    def hook(self, group: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        """Average a bucket as DDP would, and count it."""
        self.bytes += bucket.buffer().nbytes
        self.calls += 1
        return allreduce_hook(group, bucket)


def prepare(config: Config, batch: int, counter: Counter = None):
    """A model, wrapped for gloo when there is a counter, and a function that takes a step."""
    model = MODELS.build(config.model)
    model.init_weights()
    model.train()
    shape = (batch, *generated_shape(model))
    images = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=generator_for(0, 'scale_out', dist.get_rank())
    )
    labels = [DataSample().set_gt_label(i % model.num_classes) for i in range(batch)]
    if counter is not None:
        wrapper = dict(config.model_wrapper_cfg, module=model)
        model = MODEL_WRAPPERS.build(wrapper)
        for part in model.module.children():
            if hasattr(part, 'register_comm_hook'):
                part.register_comm_hook(None, counter.hook)
    wrappers = build_optim_wrapper(getattr(model, 'module', model), config.optim_wrapper)
    return lambda: model.train_step(
        dict(inputs=dict(img=images.clone()), data_samples=labels), wrappers
    )


def rank_main(rank: int, port: int, args: argparse.Namespace, queue: Any) -> None:
    """One of the two processes; the first puts what was found into the queue."""
    limit_threads(1)
    store = f'tcp://127.0.0.1:{port}'
    dist.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
    init_default_scope('mmagic')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    config = load_config(args.config)
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 0)
    counter = Counter()
    steps = {
        APART: prepare(config, args.batch_size),
        TOGETHER: prepare(config, args.batch_size, counter),
    }
    steps = {ALONE: steps[APART], **steps}
    times: Dict[str, List[Tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(-1, args.turns):
        for name, step in steps.items():
            dist.barrier()
            start, cpu = time.perf_counter(), cpu_seconds()
            if rank == 0 or name != ALONE:
                for number in range(args.steps):
                    hub.update_info('iter', number)
                    step()
            spent = torch.tensor([time.perf_counter() - start, cpu_seconds() - cpu])
            dist.barrier()
            if name != ALONE:
                spent[1] /= 2
                dist.all_reduce(spent[:1], dist.ReduceOp.MAX)
                dist.all_reduce(spent[1:])
            if turn >= 0:
                times[name].append(tuple(spent.tolist()))
    total = args.steps * (args.turns + 1)
    if rank == 0:
        queue.put((times, counter.bytes / total, counter.calls / total))
    dist.barrier()
    dist.destroy_process_group()


def measure(args: argparse.Namespace) -> Tuple[Race, float, float]:
    """Start both processes; the race, bytes and all-reduces per step."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context('spawn')
    queue = context.SimpleQueue()
    ranks = [context.Process(target=rank_main, args=(r, port, args, queue)) for r in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        raise RuntimeError(f'ranks ended with {[process.exitcode for process in ranks]}')
    times, size, calls = queue.get()
    found = {}
    for name, pairs in times.items():
        wall, cpu = map(list, zip(*pairs, strict=True))
        found[name] = Measurement(name, wall, cpu)
    title = f'{Path(args.config).stem}, batch {args.batch_size} per process'
    return Race(title, args.steps, 'steps', ALONE, found), size, calls


def parameter_bytes(config: Config) -> float:
    """Bytes of the gradients of both networks, float32."""
    init_default_scope('mmagic')
    model = MODELS.build(config.model)
    parts = (model.generator, model.discriminator)
    return sum(4 * p.numel() for part in parts for p in part.parameters() if p.requires_grad)


def paper_model(args: argparse.Namespace, size: float, calls: float) -> List[str]:
    """Lines of a table: efficiency of 1 to 64 GPUs, 8 a node."""
    lines = [
        f'paper model: a step of {args.step_ms:g} ms on one GPU, {size / 1e6:.1f} MB of gradients '
        f'in {calls:.0f} all-reduces, {args.node_gbs:g} GB/s inside a node of 8 GPUs, '
        f'{args.network_gbs:g} GB/s per GPU between nodes, {args.latency_us:g} us per message, '
        f'{100 * args.overlap:.0f} % of the step can hide communication',
        'GPUs   sending, ms   step, ms   efficiency',
    ]
    for world in (1, 2, 8, 16, 64):
        bandwidth = (args.node_gbs if world <= 8 else args.network_gbs) * 1e9
        sending = 2 * (world - 1) / world * size / bandwidth
        sending += args.latency_us * 1e-6 * calls * math.log2(world)
        step = args.step_ms / 1e3
        whole = step + max(0.0, sending - args.overlap * step)
        lines.append(
            f'{world:4d} {1e3 * sending:13.2f} {1e3 * whole:10.2f} {100 * step / whole:11.1f} %'
        )
    return lines


def run(args: argparse.Namespace) -> TimingReport:
    """The measurement, unless only the model is asked for, and the model."""
    report = TimingReport(
        'scale-out', settings={k: v for k, v in vars(args).items() if k != 'target'}
    )
    report.machine = describe_machine('cpu', 1)
    calls = 2.0
    if not args.model_only:
        found, size, calls = measure(args)
        report.races.append(found)
        shared = found.ratio(APART).median
        together = found.ratio(TOGETHER).median
        report.notes += [
            f'{size / 1e6:.2f} MB of gradients per step and process in {calls:.1f} all-reduces',
            f'efficiency of two ranks {100 * together:.0f} % of one process alone; two that share '
            f'nothing but the machine reach {100 * shared:.0f} %, so communication leaves '
            f'{100 * together / shared:.0f} %',
        ]
        report.extra = dict(bytes_per_step=size, all_reduces_per_step=calls)
    model = load_config(args.model_config)
    report.notes += paper_model(args, parameter_bytes(model), max(2.0, calls))
    return report


def main() -> None:
    """Parse arguments, measure, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument(
        '--config', default='configs/cellgan_phantom.py', help='whose step is taken'
    )
    parser.add_argument('--batch-size', type=int, default=8, help='per process')
    parser.add_argument('--steps', type=int, default=5, help='per turn')
    parser.add_argument('--model-only', action='store_true', help='only the paper model')
    parser.add_argument(
        '--model-config', default='configs/cellgan_tct.py', help='of the paper model'
    )
    parser.add_argument('--step-ms', type=float, default=30, help='on one GPU')
    parser.add_argument('--node-gbs', type=float, default=200, help='GB/s, inside a node')
    parser.add_argument('--network-gbs', type=float, default=25, help='GB/s per GPU, between nodes')
    parser.add_argument('--latency-us', type=float, default=20, help='per message')
    parser.add_argument('--overlap', type=float, default=0.0, help='share of the step, 0 to 1')
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    main()
