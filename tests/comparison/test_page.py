"""What the page of a comparison says: who comes nearest, how sure, and what the floor is."""

from cellgan_plugin.comparison.page import floor_table, ranking


def model(name, *means):
    def report(mean):
        rows = [dict(row='A', values={'FD(x)': mean}, floor={'FD(x)': 0.5}),
                dict(row='mean', values={'FD(x)': mean}, floor={'FD(x)': 0.5})]  # fmt: skip
        return dict(result=dict(reports=[dict(rows=rows)]))

    return dict(name=name, missing=[], trainings=[report(mean) for mean in means])


def test_the_ranking_says_how_far_it_can_be_trusted():
    one = ranking(dict(models=[model('A', 3.0)]))
    assert 'A has a mean FD(x) of 3 ' in one and 'no other model' in one
    single = ranking(dict(models=[model('A', 3.0), model('B', 2.0)]))
    assert single.startswith('B comes nearest') and 'another seed may change' in single
    apart = ranking(dict(models=[model('A', 3.0, 3.1), model('B', 2.0, 2.2)]))
    assert 'lies below every training' in apart
    mixed = ranking(dict(models=[model('A', 3.0, 2.1), model('B', 2.0, 2.2)]))
    assert 'may be chance' in mixed
    assert ranking(dict(models=[model('A')])) is None


def test_grey_frames_come_nearest_to_nothing():
    models = [model('A', 3.0), model('B', 2.0), model('grey', 1.0)]
    said = ranking(dict(models=models, grey={'grey': 'grey frames'}))
    assert said.startswith('B comes nearest') and 'next is A' in said


def test_the_floor_stands_below_the_models():
    table = floor_table(dict(models=[model('A', 3.0), model('B', 2.0)]))
    assert [row['model'] for row in table.rows] == ['A', 'B', 'real against real']
    assert table.rows[-1]['A'] == table.rows[-1]['mean'] == 0.5
    assert floor_table(dict(models=[model('A')])) is None
