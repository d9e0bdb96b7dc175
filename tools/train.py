"""Train a model of a config.

python tools/train.py configs/cellgan_tct.py --amp
python tools/train.py configs/cellgan_tct.py --resume
python tools/train.py configs/cellgan_tct.py --minutes 60
CELLGAN_DATA_ROOT=/data/tct python tools/train.py configs/cellgan_tct.py
"""

from cellgan_plugin.runs.train import main

if __name__ == '__main__':
    main(description=__doc__)
