import json
import time

import matplotlib.image
import pytest
from timing import (
    Measurement,
    Race,
    TimingReport,
    check_timing_arguments,
    publish,
    race,
    timing_parser,
)


def a_race(plain, ours, reference='plain', items=10):
    measured = {
        'plain': Measurement('plain', wall=plain, cpu=plain),
        'ours': Measurement('ours', wall=ours, cpu=ours),
    }
    return Race('draw', items, 'images', reference, measured)


def test_contestants_take_turns_and_warm_up_outside_of_the_measurement():
    calls = []
    found = race(
        {'a': lambda: calls.append('a'), 'b': lambda: calls.append('b') or 7}, turns=3, warm_up=1
    )
    assert calls == ['a', 'b'] * 4
    assert [len(m.wall) for m in found.measurements.values()] == [3, 3]
    assert found.measurements['b'].value == 7


def test_wall_clock_and_cpu_are_told_apart():
    def busy():
        until = time.process_time() + 0.03
        while time.process_time() < until:
            pass

    found = race({'idle': lambda: time.sleep(0.03), 'busy': busy}, turns=2, warm_up=0)
    assert found.wall('idle').low >= 0.03 and found.cpu('idle').median < 0.015
    assert found.cpu('busy').low >= 0.03


def test_the_ratio_is_the_median_of_the_turns_ratios():
    # In the second turn everything took ten times as long: a ratio of medians would be 2 or 20.
    found = a_race([4.0, 40.0, 2.0], [1.0, 20.0, 1.0])
    assert found.ratio('ours') == (2.0, 2.0, 4.0)
    assert found.ratio('plain') == (1.0, 1.0, 1.0)
    assert found.rate('ours') == found.rate('ours', 'cpu') == (10.0, 0.5, 10.0)
    assert a_race([1.0], [1.0], reference=None).ratio('ours') is None


@pytest.mark.parametrize('wrong', [{'turns': 0}, {'reference': 'nobody'}])
def test_a_race_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match='race:'):
        race({'a': int}, **wrong)


def test_report_as_text_json_and_picture(tmp_path):
    races = [a_race([4.0, 4.0], [1.0, 1.0]), a_race([60.0], [1.0], items=1)]
    report = TimingReport('test', races, settings=dict(size=3), notes=['images are equal'])
    text = report.to_text()
    assert '4.00 (4.00 - 4.00)' in text and 'x reference' in text and 'images are equal' in text
    report.write_json(tmp_path / 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['races'][0]['contestants'][1]['times_reference']['median'] == 4
    assert found['settings'] == {'size': 3} and found['machine']['device'] == 'cpu'
    picture = matplotlib.image.imread(report.draw(tmp_path / 'bars.png'))
    assert picture.shape[0] > 100 and picture.std() > 0.05


def test_a_target_may_go_by_cpu_seconds():
    found = a_race([3.0], [1.0])
    found.measurements['ours'].cpu = [0.5]
    report = TimingReport('test', [found])
    assert report.lowest_ratio() == 3
    parser = timing_parser('A benchmark.')
    publish(report, parser.parse_args(['--clock', 'cpu', '--target', '5.9']))
    assert report.lowest_ratio() == 6


def test_a_missed_target_ends_with_an_error(tmp_path, capsys):
    parser = timing_parser('A benchmark.')
    files = ['--json', str(tmp_path / 'a.json'), '--plot', str(tmp_path / 'a.png')]
    report = TimingReport('test', [a_race([3.0], [1.0])])
    publish(report, parser.parse_args([*files, '--target', '2.9']))
    assert (tmp_path / 'a.json').is_file() and (tmp_path / 'a.png').is_file()
    with pytest.raises(SystemExit, match='3.00 times .* below the target of 3.1'):
        publish(report, parser.parse_args(['--target', '3.1']))
    for wrong in (['--turns', '0'], ['--no-reference', '--target', '2']):
        with pytest.raises(SystemExit):
            check_timing_arguments(parser, parser.parse_args(wrong))
    assert 'ratio to the reference' in capsys.readouterr().err


def test_report_by_cpu_seconds():
    measured = {
        'plain': Measurement('plain', wall=[1.0, 9.0], cpu=[2.0, 2.0]),
        'ours': Measurement('ours', wall=[1.0, 1.0], cpu=[0.5, 1.0]),
    }
    found = Race('draw', 10, 'images', 'plain', measured)
    assert found.rate('ours', 'cpu') == (15, 10, 20)
    assert TimingReport('a', [found]).lowest_ratio() == 5
    assert TimingReport('a', [found], clock='cpu').lowest_ratio() == 3
