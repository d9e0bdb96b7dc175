"""Train the model of a config.

python tools/train.py configs/cellgan_tct.py --amp
python tools/train.py configs/cellgan_tct.py --resume
python tools/train.py configs/cellgan_tct.py --minutes 60
CELLGAN_DATA_ROOT=/data/tct python tools/train.py configs/cellgan_tct.py

Exit status: 0 when the run is complete; 75 when it was told to stop (SIGTERM, SIGUSR1) and has
saved, so that --resume continues; 2 when something has to be changed.
"""

import sys

from cellgan_plugin.runs.train import main

if __name__ == '__main__':
    sys.exit(main(description=__doc__))
