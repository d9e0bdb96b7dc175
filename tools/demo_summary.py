"""Say what ``make demo`` left behind, where to look, and what to run next.

python tools/demo_summary.py demo
"""

import argparse
from pathlib import Path

from cellgan_plugin.engine.checkpoint import numbered_checkpoints


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, help='the folder of the demo')
    run = parser.parse_args().folder / 'run'
    sheets = sorted((run / 'sheets').glob('*.png'))
    checkpoints = numbered_checkpoints(run)
    best = next(iter(run.glob('best_iter_*.pth')), None)
    if not sheets or not checkpoints:
        parser.error(f'{run} has no finished run; start it with: make demo')
    print(f"""
The demo is done. Look at
  {sheets[-1]}
      real phantom cells on the left, generated ones on the right, one row per class
  {run / 'sheets'}
      the same at {len(sheets)} moments of the training
  {run / 'curves.png'}
      losses and mean logits
  {run / 'distances.png'}
      the Frechet distance to held-out phantoms per class, which should fall
  {best or checkpoints[0]}
      the checkpoint {'that the smoothed distance chose' if best else 'saved last'}

What next
  make demo
      once more: goes on where it stopped, and is a no-op when it is done
  . .venv/bin/activate
  export CELLGAN_PHANTOM_ROOT={run.parent / 'data'} CELLGAN_CLASSIFIER={run.parent / 'classifier'}
  python tools/train.py configs/cellgan_plus/cellgan_plus_demo.py --work-dir {run} --resume \\
      --cfg-options train_cfg.max_iters=6000
      train longer
  CELLGAN_DATA_ROOT=/your/class/folders python tools/check_dataset.py configs/cellgan_tct.py
      check your own images; then train on them with tools/train.py configs/cellgan_tct.py
""")


if __name__ == '__main__':
    main()
