import sys
from pathlib import Path

# As when one of these programs is started: its own folder comes first.
sys.path.insert(0, str(Path(__file__).parents[2] / 'tools' / 'benchmarks'))
