r"""Train generators on the same data, evaluate them alike, and write the table and the picture.

python tools/compare.py configs/comparisons/cellgan_table2_phantom.py --out OUT
python tools/compare.py configs/comparisons/cellgan_table1_tct.py --seeds 0 1 2 --amp
python tools/compare.py --models CellGAN=CONFIG.py BigGAN=CONFIG.py:CHECKPOINT.pth \
    --evaluation configs/_base_/evaluation/phantom_fd.py --minutes 6 --out OUT
"""

import sys

from cellgan_plugin.comparison.compare import main

if __name__ == '__main__':
    sys.exit(main(description=__doc__))
