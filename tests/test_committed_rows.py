"""Pages that are written from committed rows: claims and the README's gains, by made-up rows and as they are."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tools' / 'dev'))
import _committed_rows as committed  # noqa: E402
import _committed_rules as rules  # noqa: E402
import claims_table  # noqa: E402
import status_table  # noqa: E402

FILES = ('tools/dev/_committed_rows.py', 'tools/dev/_committed_rules.py', 'tools/dev/claims_table.py',
         'tools/dev/status_table.py', 'README.md', 'mmseg_dg/apis/leaderboard/judgment.py',
         'docs/benchmarks/claims.yml', 'docs/benchmarks/status.yml', 'configs/suites/small_uda.yml')
HAND = 'by hand, no upper control'  # of made-up rows without a suite


def rows_of(suite, scores, metric=None, **more):
    """``rows_of('s', dict(ours=[50, 52]))``: a row a seed; with ``metric`` the score is that one, the row's own 0."""
    found = {}
    for arm, by_seed in scores.items():
        for seed, score in enumerate(by_seed):
            found[f'{suite}/{arm}_seed{seed}.json'] = dict(dict(
                schema=1, arm=arm, seed=seed, score='t/mIoU', last_three=0 if metric else score, options=[],
                metrics={metric: score} if metric else {}, curve={'10': score + 5, '40': score},
                budget=dict(steps=40, images=160)), **more)
    return found


GAIN = dict(gain=dict(ours='s ours', control='s control'))


@pytest.mark.parametrize('command', ['claims_table', 'status_table'])
def test_the_pages_are_what_the_rows_say(command):
    done = subprocess.run([sys.executable, ROOT / 'tools' / 'dev' / f'{command}.py', '--check'], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


def test_constants_are_those_of_the_leaderboard():
    from mmseg_dg.apis.leaderboard.fairness import TOLERANCE
    from mmseg_dg.apis.leaderboard.rows import SCHEMA
    from mmseg_dg.apis.leaderboard.suite import Suite
    assert (committed.SCHEMA, rules.TOLERANCE, rules.LEAST_SPREAD) == (SCHEMA, TOLERANCE, Suite.least_spread)
    gain = committed.judgment.paired_gain({0: 2., 1: 3.}, {0: 1., 1: 2.}, None, 'no counts')
    assert gain.verdict == f'gain{committed.ALONE}' and gain.lacking == 'no counts'


# ---------------------------------------------------------------- two claims decided by hand
def test_a_claim_that_holds():
    """Differences 2, 3 and 4: mean 3, half of the interval 4.303 * 1 / sqrt(3) = 2.48."""
    rows = rows_of('s', dict(ours=[50, 52, 54], control=[48, 49, 50]))
    verdict = committed.judge(rows, GAIN)
    assert (verdict.answer, verdict.text) == ('yes', f'+3.00 ± 2.48, 3 seeds alone; {HAND}')
    assert sorted(verdict.rows) == sorted(rows)
    page = claims_table.page(rows, [dict(claim='It helps', page='hrda.md', measure='gain', judged=[
        dict(bench='made up', by=GAIN)])])
    assert ('| It helps ([hrda](../hrda.md)) | made up | **yes** | '
            f'+3.00 ± 2.48, 3 seeds alone; {HAND} | '
            '[ours_seed0](rows/s/ours_seed0.json), [ours_seed1](rows/s/ours_seed1.json)') in page
    assert 'Of 1 judgements: 1 yes, 0 no, 0 undecided.' in page


def test_a_claim_that_does_not_hold():
    """The gain of one setting, 1, 1.5 and 1.25, less that of the other, 4, 4.25 and 4.5: -3, -2.75, -3.25."""
    rows = {**rows_of('few', dict(ours=[31, 32.5, 31.25], control=[30, 31, 30])),
            **rows_of('many', dict(ours=[44, 45.25, 45.5], control=[40, 41, 41]))}
    verdict = committed.judge(rows, dict(more=dict(first=dict(ours='few ours', control='few control'),
                                                   second=dict(ours='many ours', control='many control'))))
    assert (verdict.answer, verdict.text) == ('no', f'-3.00 ± 0.62, 3 seeds alone; {HAND}')
    assert len(verdict.rows) == 12


# ---------------------------------------------------------------- what stays open
@pytest.mark.parametrize('scores, text', [
    (dict(), 'no run'),
    (dict(ours=[50]), 'no run of s control'),
    (dict(ours=[50], control=[40]), '+10.00, 1 seed (one seed); by hand, no upper control'),
    (dict(ours=[50, 40], control=[48, 41]), '+0.50 ± 19.06, 2 seeds alone (level); by hand, no upper control')])
def test_what_leaves_a_claim_undecided(scores, text):
    verdict = committed.judge(rows_of('s', scores), GAIN)
    assert (verdict.answer, verdict.text) == ('undecided', text)


def test_metrics_of_classes_are_means_and_must_be_there():
    rows = rows_of('s', dict(ours=[60, 60], control=[50, 50]), metric='t/IoU.pole')
    for row in rows.values():
        row['metrics']['t/IoU.sign'] = 10
    test = dict(gain=dict(GAIN['gain'], metric=['t/IoU.pole', 't/IoU.sign']))
    assert committed.judge(rows, test).text.startswith('+5.00 ± 0.00')
    with pytest.raises(ValueError, match="s/ours_seed0.json has no 't/IoU.fence'"):
        committed.judge(rows, dict(gain=dict(GAIN['gain'], metric='t/IoU.fence')))


def test_falling_and_all_parts():
    rows = rows_of('s', dict(joint=[30, 31, 32], deft=[34, 35, 36.5]))
    fall = dict(fall=dict(rows='s joint', after=0.25))  # 5 points above its end at iteration 10 of 40
    assert committed.judge(rows, fall).text == '+5.00 ± 0.00, 3 seeds alone'
    both = dict(all=[fall, dict(gain=dict(ours='s deft', control='s joint'))])
    assert committed.judge(rows, both).answer == 'yes'
    both['all'][1]['gain'] = dict(ours='s joint', control='s deft')
    assert committed.judge(rows, both).answer == 'no'
    both['all'][1]['gain'] = dict(ours='s none', control='s joint')
    assert committed.judge(rows, both).answer == 'undecided'
    assert committed.judge({}, both).text == 'no run'
    with pytest.raises(ValueError, match='no evaluation in the first 10%'):
        committed.judge(rows, dict(fall=dict(rows='s joint', after=0.1)))
    with pytest.raises(ValueError, match='gain, more, fall or all'):
        committed.judge(rows, dict(better={}))


def test_lists_of_labels_are_pairs_of_their_own():
    rows = {}
    for number in '01':
        for name, row in rows_of('s', dict(ours=[30 + int(number)], control=[20])).items():
            rows[name.replace('seed0', f'list{number}')] = dict(row, subset=f'1_30_seed{number}')
    found = committed.compare(rows, 's ours', 's control')
    assert found.differences == {(0, '0'): 10, (0, '1'): 11}
    rows['s/again.json'] = rows['s/ours_list0.json']
    with pytest.raises(ValueError, match='two rows of seed 0'):
        committed.compare(rows, 's ours', 's control')


def test_lists_can_be_chosen():
    rows = {}
    for subset in ('1_30_seed0', '1_30_seed1', '1_8_seed0', None):
        rows[f's/{subset}.json'] = dict(rows_of('s', dict(a=[1]))['s/a_seed0.json'], subset=subset)
    assert [name for name, _ in committed.select(rows, 's a subset=1_30_*').values()] == [
        's/1_30_seed0.json', 's/1_30_seed1.json']


def selectors(node):
    """Every selector of claims.yml or status.yml."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ('ours', 'control', 'rows'):
                yield value
            else:
                yield from selectors(value)
    elif isinstance(node, list):
        for value in node:
            yield from selectors(value)


@pytest.mark.parametrize('name', ['claims.yml', 'status.yml'])
def test_what_is_compared_exists(name):
    """An arm of the suite, where that is in configs/suites; a config and its row for runs by hand."""
    found = list(selectors(yaml.safe_load((ROOT / 'docs' / 'benchmarks' / name).read_text(encoding='utf-8'))))
    assert len(found) > 20
    for selector in found:
        suite, arm, *_ = selector.split()
        path = ROOT / 'configs' / 'suites' / f'{suite}.yml'
        if suite in ('bench', 'few_labels'):
            bench = ROOT / 'configs' / 'bench'
            rows = yaml.safe_load((bench / 'ablations.yml').read_text(encoding='utf-8').replace('!tuple', ''))
            known = {file.stem for file in bench.glob('*.py')}
            known |= {f'{config}_{row}' for config, entry in rows.items() for row in entry['rows']}
            assert arm in known, selector
        elif path.is_file():
            assert arm in yaml.safe_load(path.read_text(encoding='utf-8'))['arms'], selector


def test_options_tell_arms_apart():
    rows = {f's/{kind}_{seed}.json': dict(row, arm='same', options=[f'model.residual={kind}', 'x=1'])
            for kind in (True, False)
            for seed, row in enumerate(rows_of('s', dict(a=[50 + 3 * kind, 51 + 3 * kind])).values())}
    found = committed.compare(rows, 's same model.residual=True', 's same model.residual=False')
    assert found.gain.mean == 3 and found.gain.verdict == 'gain'
    for row in list(rows.values())[2:]:
        row['options'] = ['x=1']  # the default, which a command need not name
    found = committed.compare(rows, 's same model.residual=True', 's same !model.residual=True')
    assert found.gain.mean == 3 and found.gain.pairs == 2
    with pytest.raises(ValueError, match='SUITE ARM'):
        committed.select(rows, 's')


# ---------------------------------------------------------------- the leaderboard's rules
@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A suite ``s`` with its controls, and an empty folder for counts by drive."""
    (tmp_path / 's.yml').write_text('lower: control\nupper: full\nscore: t/mIoU\n')
    monkeypatch.setattr(rules, 'SUITES', tmp_path)
    monkeypatch.setattr(rules, 'ROWS', tmp_path)
    return tmp_path


def said(rows):
    return status_table.sentence(rows, 'here', 's ours', 's control', linked=False)


def test_a_suite_with_close_controls_is_not_published(suite):
    rows = rows_of('s', dict(ours=[53, 54, 55], control=[48, 49, 50], full=[49.5, 51, 52]))
    assert said(rows) == 'not published: controls 1.8 apart (here)'
    verdict = committed.judge(rows, GAIN)
    assert (verdict.answer, verdict.text) == ('undecided', 'not published: controls 1.8 apart')
    assert sorted(verdict.rows) == sorted(rows)  # those of the upper control as well
    assert committed.judge(rows, dict(fall=dict(rows='s ours', after=0.25))).text.startswith('not published')
    assert committed.judge(rows, dict(more=dict(first=GAIN['gain'], second=GAIN['gain']))).answer == 'undecided'
    for name in [name for name in rows if 'full' in name]:
        del rows[name]
    assert said(rows) == 'not published: no run of the control full (here)'
    (suite / 's.yml').write_text('lower: control\nranked: false\n')
    assert said(rows) == 'not published: its suite ranks nothing (here)'


def test_controls_are_those_of_the_encoder(suite):
    (suite / 's.yml').write_text('lower: control\nupper: full\nencoders: {small: {}, large: {}}\n')
    rows = rows_of('s', {'control-small': [40], 'full-small': [50], 'control-large': [40], 'full-large': [41]})
    assert rules.unpublished(rows, 's', 'ours-small')[0] == ''
    assert rules.unpublished(rows, 's', 'ours-large')[0] == 'not published: controls 1.0 apart'


def test_unequal_budgets_are_not_compared(suite):
    rows = rows_of('s', dict(ours=[53, 54, 55], control=[48, 49, 50], full=[60, 60, 60]))
    rows['s/ours_seed1.json']['budget'] = dict(steps=80, images=320)
    assert said(rows) == 'not compared: budgets of 160 and 320 images (here)'
    assert committed.judge(rows, GAIN).answer == 'undecided'
    rows['s/ours_seed1.json']['budget'] = dict(steps=40, images=160.5)  # 0.3 %
    assert said(rows).startswith('gain +5.00')


def test_arms_that_still_rise_are_marked():
    rows = rows_of('s', dict(ours=[51, 52], control=[48, 49]), rise_in_last_quarter=0.5)
    assert 'rises' not in said(rows)
    for seed, rise in enumerate((2.2, 1.6)):
        rows[f's/control_seed{seed}.json']['rise_in_last_quarter'] = rise
    assert said(rows).endswith('(here; by hand, no upper control; the control rises +1.90)')
    assert committed.judge(rows, GAIN).text.endswith('; the control rises +1.90')


def counts(folder, rows, hits):
    """Beside each row the counts of two drives ``a`` and ``b``, 100 pixels each, one class: IoU = share of hits."""
    from mmseg_dg.evaluation.drives import Drives, write_counts
    for name, row in rows.items():
        (folder / 's').mkdir(exist_ok=True)
        matrices = np.array([[[hit, 100 - hit]] for hit in hits[row['arm']]])
        row['metrics']['t/mIoU'] = row['last_three']
        write_counts(folder / name.replace('.json', '_drives.npz'), dict(t=[Drives(('a', 'b'), matrices)]))


def test_a_suite_asks_for_both_intervals(suite):
    """Drives +10 and -2 points: the mean of seeds is +4, of drives anything from -2 to +10."""
    rows = rows_of('s', dict(ours=[54, 54.1, 53.9], control=[50, 50, 50], full=[60, 60, 60]))
    assert said(rows) == 'gain +4.00 ± 0.25, 3 seeds alone, over control (here)'
    verdict = committed.judge(rows, GAIN)
    assert verdict.answer == 'undecided'
    assert verdict.text == '+4.00 ± 0.25, 3 seeds alone (no counts by drive beside 6 of 6 rows)'
    counts(suite, rows, dict(ours=(60, 48), control=(50, 50), full=(60, 60)))
    assert said(rows) == 'level +4.00 ± 0.25, 3 seeds, drives -2.00 to +10.00, over control (here)'
    counts(suite, rows, dict(ours=(56, 52), control=(50, 50), full=(60, 60)))
    assert said(rows) == '**gain** +4.00 ± 0.25, 3 seeds, drives +2.00 to +6.00, over control (here)'
    assert committed.judge(rows, GAIN).answer == 'yes'
    (suite / 's' / 'control_seed1_drives.npz').unlink()
    assert committed.judge(rows, GAIN).text.endswith('(no counts by drive beside 1 of 6 rows)')


def test_counts_that_are_not_of_the_score_give_no_interval(suite):
    rows = rows_of('s', dict(ours=[54, 54, 54], control=[50, 50, 50], full=[60, 60, 60]))
    counts(suite, rows, dict(ours=(56, 52), control=(50, 50), full=(60, 60)))
    rows['s/ours_seed0.json']['metrics']['t/mIoU'] = 60.
    assert committed.judge(rows, GAIN).text.endswith('(counts by drive of other domains or drives)')


@pytest.mark.ci
@pytest.mark.parametrize('path', sorted((ROOT / 'configs' / 'suites').glob('*.yml')), ids=lambda path: path.stem)
def test_every_suite_keeps_counts_by_drive(path):
    """So that an interval over drives is asked of each of them."""
    if path.stem not in ('ablations', 'metafile'):
        from mmseg_dg.apis.leaderboard import read_suite
        for arm in read_suite(path).arms:
            assert 'DriveMetric' in str(arm.cfg.val_evaluator), arm.name


def test_worth_of_a_method_stands_where_the_page_asks_for_it():
    rows = rows_of('s', dict(ours=[51, 52], control=[48, 49]))
    methods = [dict(method='Ours (new)', page='p', compared=[dict(bench='here', ours='s ours', control='s control')]),
               dict(method='Other', page='p', compared=[dict(bench='here', ours='s other', control='s control')])]
    assert status_table.worth(rows, methods, 'Ours (new)') == said(rows)
    assert status_table.worth(rows, methods, 'Other') == 'no run with a row'
    with pytest.raises(ValueError, match="'New' is no method of .*status.yml"):
        status_table.worth(rows, methods, 'New')
    text = 'a | <!-- worth: Ours (new) -->old<!-- end --> |'
    assert status_table.WORTH.search(text).group(2) == 'Ours (new)'


def test_the_readme_has_no_other_verdicts():
    """Its table of systems says what a system is worth by rows, or what was seen with one seed."""
    table = (ROOT / 'README.md').read_text(encoding='utf-8').split('## The systems')[1].split('\n## ')[0]
    lines = [line for line in table.splitlines() if line.startswith('| ')][1:]
    assert len(lines) == 6
    for line in lines:
        by_hand = status_table.WORTH.sub('', ' '.join(line.split('|')[4:]))  # status and gain
        assert '<!-- worth: ' in line and not any(word in by_hand for word in ('gain', 'level', 'loss', 'above', '+'))


# ---------------------------------------------------------------- the scripts
@pytest.fixture
def copy(tmp_path):
    """A repository of the scripts and what they read, without rows."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(root, name, *words):
    command = [sys.executable, root / 'tools' / 'dev' / f'{name}.py', *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_without_rows_everything_is_open(copy):
    for name in ('claims_table', 'status_table'):
        assert run(copy, name).returncode == 0 and run(copy, name, '--check').returncode == 0
    claims = yaml.safe_load((copy / 'docs' / 'benchmarks' / 'claims.yml').read_text())
    number = sum(len(claim['judged']) for claim in claims)
    page = (copy / 'docs' / 'benchmarks' / 'claims.md').read_text()
    assert f'0 yes, 0 no, {number} undecided' in page and page.count('| undecided | no run | – |') == number
    assert '| [PiXL](docs/pixl.md) | no run with a row |' in (copy / 'README.md').read_text()


def test_new_rows_make_the_pages_stale(copy):
    for name in ('claims_table', 'status_table'):
        run(copy, name)
    scores = dict(dacs=[30, 31, 32], daformer=[32, 34, 36], source_only=[29, 32, 31], target_only=[40, 41, 42])
    for name, row in rows_of('small_uda', scores).items():
        row['metrics']['idd/mIoU.tail'] = row['last_three']
        path = copy / 'docs' / 'benchmarks' / 'rows' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row))
    for name in ('claims_table', 'status_table'):
        done = run(copy, name, '--check')
        assert done.returncode == 1 and f'run tools/dev/{name}.py' in done.stderr
        assert run(copy, name).returncode == 0 and run(copy, name, '--check').returncode == 0
    page = (copy / 'docs' / 'benchmarks' / 'claims.md').read_text()
    assert ('| small_uda (CamVid to IDD) | undecided | +3.00 ± 2.48, 3 seeds alone (drives are resampled for the mIoU '
            'alone) | [daformer_seed0](rows/small_uda/' in page)
    readme = (copy / 'README.md').read_text()
    assert ('| level +0.33 ± 2.87, 3 seeds alone, over source_only (CamVid to IDD; '
            'rows [1](docs/benchmarks/rows/small_uda/' in readme)
    assert 'masked pass (MIC)](configs/mic/README.md) | no run with a row |' in readme


def test_a_file_that_is_no_row_is_named(copy):
    folder = copy / 'docs' / 'benchmarks' / 'rows' / 'bench'
    folder.mkdir(parents=True)
    (folder / 'x.json').write_text('{"schema": 1, "arm": "a"}')
    assert "x.json: no row of schema 1, it lacks ['seed'" in run(copy, 'claims_table').stderr
    (folder / 'x.json').write_text(json.dumps(dict(rows_of('bench', dict(a=[1]))['bench/a_seed0.json'], schema=2)))
    assert 'x.json: no row of schema 1' in run(copy, 'claims_table').stderr
    (folder / 'x.json').write_text((folder / 'x.json').read_text().replace('"schema": 2', '"was": 0'))
    assert run(copy, 'claims_table').returncode == 0


def test_status_says_nothing_where_one_side_has_no_row():
    rows = rows_of('s', dict(ours=[50, 51]))
    assert status_table.sentence(rows, 'here', 's ours', 's control') == ''
    rows.update(rows_of('s', dict(control=[40, 42])))
    assert status_table.sentence(rows, 'here', 's ours', 's control') == (
        'gain +9.50 ± 6.35, 2 seeds alone, over control (here; by hand, no upper control; '
        'rows [1](docs/benchmarks/rows/s/ours_seed0.json) [2](docs/benchmarks/rows/s/ours_seed1.json) '
        '[3](docs/benchmarks/rows/s/control_seed0.json) [4](docs/benchmarks/rows/s/control_seed1.json))')
