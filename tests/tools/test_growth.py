import json

import matplotlib.image
import pytest
from timing import Growth, GrowthPoint, GrowthReport, growth_exponent


@pytest.mark.parametrize('power', [0, 1, 2])
def test_the_exponent_of_a_power_is_found(power):
    x = [10.0, 100.0, 1000.0]
    assert growth_exponent(x, [3 * value**power for value in x]) == pytest.approx(power)


def test_report_as_text_json_and_picture(tmp_path):
    points = [GrowthPoint(n, 0.5 + 1e-5 * n, 2**20 + 50 * n) for n in (1000, 10_000, 100_000)]
    listed = Growth('list', 'files', points)
    assert 0 < listed.exponent('seconds') < 1 and 0.5 < listed.exponent('bytes') < 1
    untold = Growth('no memory', 'files', [GrowthPoint(1, 1.0, None), GrowthPoint(2, 2.0, None)])
    assert untold.exponent('bytes') is None
    report = GrowthReport('growth', [listed, untold], notes=['a note'])
    text = report.to_text()
    assert 'time ~ x^1.00' in text and '100000' in text and text.endswith('a note')
    found = json.loads(report.write_json(tmp_path / 'growth.json').read_text())
    assert found['series'][0]['points'][2]['x'] == 100_000
    picture = matplotlib.image.imread(report.draw(tmp_path / 'growth.png'))
    assert picture.shape[0] > 300 and picture.std() > 0.02
