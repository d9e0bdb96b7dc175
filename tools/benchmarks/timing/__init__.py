"""Time several implementations of the same thing in turns: for ``tools/benchmarks``, notebooks.

::

    from timing import TimingReport, race

    found = race({'plain': plain, 'ours': ours}, turns=5, reference='plain', items=64)
    print(TimingReport('my step', races=[found]).to_text())

The implementations take turns (A B A B), so that a busy minute of the machine affects all of them.
Medians are compared, and the ratio is the median of the ratios within a turn.
"""

from timing.command_line import check_timing_arguments, publish, timing_parser
from timing.machine import describe_machine, limit_threads, synchronize
from timing.memory import peak_memory
from timing.phases import Phases, ceilings
from timing.race import Measurement, Race, Spread, cpu_seconds, race
from timing.report import TimingReport

__all__ = [
    'Measurement',
    'Phases',
    'Race',
    'Spread',
    'TimingReport',
    'ceilings',
    'check_timing_arguments',
    'cpu_seconds',
    'describe_machine',
    'limit_threads',
    'peak_memory',
    'publish',
    'race',
    'synchronize',
    'timing_parser',
]
