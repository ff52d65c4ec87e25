"""Rows of trainings that were started by hand, from their work dirs."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_dg.apis.leaderboard.collected import clean_command, collected_row
from mmseg_dg.apis.row_configs import load_config

ROOT = Path(__file__).resolve().parents[2]
BENCH = 'bench_semi_diffmatch_mobilenetv2'
LOG = '''2026/11/30 10:00:00 - mmengine - INFO -
System environment:
    Python: 3.11.7 (main, May  9 2026) [GCC 12.2.0]
    PyTorch: 2.13.0+cpu
    MMEngine: 0.10.7
Runtime environment:
    seed: 3
2026/11/30 10:{minute}:30 - mmengine - INFO - Saving checkpoint
'''


@pytest.fixture
def work_dir(tmp_path):
    """``work_dir(row=None, last=2000, record=None, **options)``: what a training of a bench config leaves, in two
    attempts."""

    def make(row=None, last=2000, record=None, **options):
        folder = tmp_path / 'form_s3'
        folder.mkdir()
        cfg = load_config(BENCH, row)
        cfg.merge_from_dict({'randomness.seed': 3, **options})
        cfg.work_dir, cfg.launcher, cfg.resume, cfg.load_from = str(folder), 'none', True, None
        cfg.dump(folder / f'{BENCH}.py')
        attempts = (('20261130_100000', (500, 1000), '01'), ('20261130_110000', (1500, last), '02'))
        for stamp, iterations, minute in attempts:
            (folder / stamp).mkdir()
            (folder / stamp / f'{stamp}.log').write_text(LOG.format(minute=minute))
            if record:
                (folder / stamp / 'run.json').write_text(json.dumps(record))
            for n in iterations:
                (folder / stamp / f'evaluation_iter_{n}.csv').write_text(
                    'domain,images,note,mIoU,IoU.road\n' + f'day,26,,{n / 100},60\n' + f'mean,26,,{n / 50},\n')
        return folder

    return make


def test_a_row_of_a_run_that_recorded_nothing(work_dir):
    row = collected_row(work_dir(**{'model.network.residual': False}), commit='abc')
    assert row['command'] == (f'python tools/train.py configs/bench/{BENCH}.py --work-dir work_dirs/form_s3 '
                              '--cfg-options model.network.residual=False randomness.seed=3')
    assert row['config'] == f'configs/bench/{BENCH}.py' and row['command_from'] == 'config'
    assert row['options'] == ['model.network.residual=False', 'randomness.seed=3']
    assert (row['arm'], row['method'], row['encoder'], row['seed']) == (BENCH, 'DiffMatch', 'MobileNetV2', 3)
    assert row['score'] == 'mean/mIoU' and row['last_three'] == 30 and row['last'] == row['best_on_validation'] == 40
    assert row['metrics'] == {'day/mIoU': 15, 'day/IoU.road': 60, 'mean/mIoU': 30}
    assert row['evaluations']['500'] == {'day/mIoU': 5, 'day/IoU.road': 60, 'mean/mIoU': 10}
    assert sorted(row['evaluations']) == ['1000', '1500', '2000', '500']
    assert row['versions'] == dict(python='3.11.7', torch='2.13.0+cpu', mmengine='0.10.7')
    assert row['commit'] == 'abc' and row['wall_seconds'] == 90 + 150
    assert row['cpu_seconds'] is None and not row['cpu_seconds_complete']
    assert row['budget'] == dict(steps=2000, images_per_step=4, images_before=0, images=8000)
    assert str(Path.home()) not in json.dumps(row) and str(ROOT) not in json.dumps(row)


def test_a_row_of_a_config_is_named_in_the_command(work_dir):
    row = collected_row(work_dir(row='noadjust'))
    assert ' --row noadjust --cfg-options randomness.seed=3' in row['command'] and row['arm'] == f'{BENCH}_noadjust'
    assert row['row'] == 'noadjust' and row['commit'] == ''


def test_what_a_run_has_recorded_comes_first(work_dir):
    record = dict(command=['/home/me/tools/train.py', f'/home/me/configs/bench/{BENCH}.py', '--work-dir', '/tmp/x',
                           '--resume', '--cfg-options', 'randomness.seed=3', 'load_from=/data/start.pth'],
                  commit='f00', versions=dict(torch='2.6'), wall_seconds=7., cpu_seconds=5.)
    row = collected_row(work_dir(record=record), score='day/mIoU', arm='form', control='labeled_only')
    assert row['command'] == (f'python tools/train.py configs/bench/{BENCH}.py --work-dir work_dirs/form_s3 '
                              '--cfg-options randomness.seed=3 load_from=start.pth')
    assert (row['commit'], row['versions'], row['wall_seconds']) == ('f00', dict(torch='2.6'), 14)
    assert row['cpu_seconds'] == 10 and row['cpu_seconds_complete'] and row['command_from'] == 'recorded'
    assert (row['arm'], row['control'], row['score'], row['last_three']) == ('form', 'labeled_only', 'day/mIoU', 15)


def test_a_killed_attempt_leaves_the_cost_open(work_dir):
    folder = work_dir(record=dict(command=['tools/train.py', 'x.py'], commit='f00', versions={}, cpu_seconds=5.))
    first = folder / '20261130_100000' / 'run.json'
    first.write_text(json.dumps(dict(command=['tools/train.py', 'x.py'], commit='f01', versions={})))
    row = collected_row(folder)
    assert row['cpu_seconds'] is None and not row['cpu_seconds_complete'] and row['commit'] == 'f01, f00'


def test_processes_are_counted_and_an_overwritten_training_is_not(work_dir):
    folder = work_dir()
    log, = (folder / '20261130_110000').glob('*.log')
    log.write_text(log.read_text().replace('    seed: 3', '    seed: 3\n    GPU number: 4'))
    row = collected_row(folder, commit='abc')
    assert row['processes'] == 4 and row['budget']['images'] == 4 * 8000 and 'processes' not in row['versions']
    (folder / '20261130_110000' / 'run.json').write_text(json.dumps(dict(
        command=['tools/train.py', 'x.py', '--overwrite'], commit='f00', versions={})))
    (folder / '20261130_110000' / 'vis_data').mkdir()
    (folder / '20261130_110000' / 'vis_data' / 'config.py').write_text('overwrite = True\nresume = False\n')
    row = collected_row(folder)
    assert sorted(row['evaluations']) == ['1500', '2000'] and row['wall_seconds'] == 150 and row['commit'] == 'f00'


def test_what_is_no_finished_run_is_refused(work_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no config'):
        collected_row(tmp_path)
    folder = work_dir(last=1900)
    with pytest.raises(ValueError, match='has not ended: its last evaluation is at iteration 1900 of 2000'):
        collected_row(folder)


def test_unknown_scores_and_commands_are_refused(work_dir):
    folder = work_dir(**{'param_scheduler': [dict(type='PolyLR')]})
    with pytest.raises(ValueError, match=r"\['param_scheduler'\], which no option can say: give --command"):
        collected_row(folder)
    with pytest.raises(ValueError, match="no evaluation has 'dusk/mIoU'"):
        collected_row(folder, score='dusk/mIoU', command='python tools/train.py my.py')


def test_words_about_continuing_are_left_out():
    assert clean_command(['tools/train.py', 'a.py', '--work-dir=/x/y', '--resume', '/x/y/iter_5.pth', '--overwrite',
                          '--device', 'cpu'], 'y') == (
        'python tools/train.py a.py --work-dir work_dirs/y --device cpu')


@pytest.mark.ci
def test_from_training_to_row(tiny_config, tmp_path):
    """A run of tools/train.py records itself, and the tool makes its row."""
    cfg = tiny_config('DACS', max_iters=4, val_interval=1)
    cfg.pop('work_dir')
    cfg.dump(tmp_path / 'tiny.py')
    run, out = tmp_path / 'runs' / 'tiny_s5', tmp_path / 'rows' / 'tiny.json'
    for command in (['tools/train.py', tmp_path / 'tiny.py', '--work-dir', run, '--cfg-options', 'randomness.seed=5'],
                    ['tools/dev/collect_row.py', run, '--out', out, '--control', 'source_only', '--encoder']):
        done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    row = json.loads(out.read_text())
    assert row['command'] == ('python tools/train.py tiny.py --work-dir work_dirs/tiny_s5 --cfg-options '
                              'randomness.seed=5')
    assert row['seed'] == 5 and row['commit'] and row['versions']['numpy'] and row['control'] == 'source_only'
    assert sorted(row['curve']) == sorted(row['evaluations']) == ['1', '2', '3', '4']
    assert row['cpu_seconds'] > 0 and row['cpu_seconds_complete'] and row['wall_seconds'] > 0
    assert row['encoder_note'] == 'the encoder began at random' and row['probe'] > 0
    assert str(tmp_path) not in out.read_text()
