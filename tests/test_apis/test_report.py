"""The report: every number is the run's own, every picture is there."""
import base64
import csv
import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.apis.report import write_report_page
from mmseg_dg.utils.run_logs import counted_logs
from mmseg_dg.visualization.run_charts import write_charts
from mmseg_dg.visualization.run_record import differing_settings, read_run
from mmseg_dg.visualization.tiles import colorize, heat

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ['scores', 'pictures', 'curves', 'classes', 'confusion', 'step', 'settings', 'environment', 'continue']


class Page(HTMLParser):
    """Numbers, pictures and sections of a report."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.pictures, self.sections, self.links, self.texts = [], [], [], [], []
        self.images = {}  # (domain, run, image): mIoU in a caption
        self.expects_text = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if 'data-image' in found:
            key = tuple(found[f'data-{name}'] for name in ('domain', 'run', 'image'))
            assert self.images.setdefault(key, float(found['data-value'])) == float(found['data-value'])
        elif 'data-value' in found:
            self.numbers.append((found['data-domain'], found['data-metric'], float(found['data-value'])))
            self.expects_text = True
        if tag == 'img':
            self.pictures.append(found['src'])
        if tag == 'section':
            self.sections.append(found['id'])
        self.links += [found[key] for key in ('href', 'src') if key in found]

    def handle_data(self, data):
        if self.expects_text:  # what a reader sees of a number
            self.texts.append(data)
            self.expects_text = False


@pytest.fixture(scope='module')
def runs(tiny_config_in, tmp_path_factory):
    """Two short trainings on the same data, DACS and supervised, with pictures of steps."""
    from mmengine.runner import Runner
    folder = tmp_path_factory.mktemp('runs')
    for name, method in (('day only', 'Supervised'), ('adapted', 'DACS')):
        cfg = tiny_config_in(folder, method=method, work_dir=name, max_iters=4, val_interval=2)
        cfg.default_hooks['report'] = dict(type='ReportMaterialHook', samples=2, extremes=1)
        cfg.custom_hooks.append(dict(type='TrainingPicturesHook', interval=2, tile=64))
        cfg.log_level = 'INFO'
        Runner.from_cfg(cfg).train()
    return [folder / 'day only', folder / 'adapted']


def decoded(source):
    """The picture of a data address."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(source.split(',', 1)[1]), np.uint8), cv2.IMREAD_COLOR)


def read_csv(folder):
    path = sorted(folder.glob('*/evaluation_iter_4.csv'))[-1]
    with open(path, newline='') as file:
        return {row['domain']: row for row in csv.DictReader(file)}


def test_every_number_is_that_of_the_csv(runs, tmp_path):
    page = Page(write_report_page(runs, tmp_path / 'report.html').read_text())
    tables = [read_csv(folder) for folder in runs]
    expected = [(d, 'mIoU', float(table[d]['mIoU'])) for table in tables for d in table]
    scored = [n for n in page.numbers if n[1] == 'mIoU']
    assert sorted(scored) == sorted(expected)
    classes = [n for n in page.numbers if n[1].startswith('IoU.')]
    assert sorted(classes) == sorted((d, key, float(value)) for table in tables for d, row in table.items()
                                     for key, value in row.items() if key.startswith('IoU.') and value)
    assert len(scored) + len(classes) == len(page.numbers)
    assert page.texts == [f'{value:.2f}' if metric == 'mIoU' else f'{value:.1f}' for _, metric, value in page.numbers]


def test_every_section_and_picture_is_there_and_nothing_is_fetched(runs, tmp_path):
    text = write_report_page(runs, tmp_path / 'report.html', titles=['a', 'b']).read_text()
    page = Page(text)
    assert page.sections == SECTIONS
    assert all(link.startswith(('#', 'data:')) for link in page.links)
    assert all(decoded(source).shape[0] > 30 for source in page.pictures)
    photos = [s for s in page.pictures if s.startswith('data:image/jpeg')]
    assert photos and all(np.ptp(decoded(source)) > 30 for source in photos)
    assert 'model.type' in text  # a setting that differs


def test_predictions_and_confidence_are_those_that_each_run_kept(runs, tmp_path):
    """Every kept picture of every run is in the page, in the colors of the classes; captions have the CSV's mIoU."""
    text = write_report_page(runs, tmp_path / 'report.html', titles=['a', 'b']).read_text()
    page = Page(text)
    shown = {decoded(source).tobytes() for source in page.pictures if source.startswith('data:image/png')}
    kept, worst = 0, {}
    for title, run in zip('ab', runs):
        folder, = run.glob('*/report/iter_4/target')
        material = json.loads((folder / 'pictures.json').read_text())
        with open(folder / 'images.csv', newline='') as file:
            scores = {row['image']: float(row['mIoU']) for row in csv.DictReader(file)}
        worst[title] = min(scores.values())
        for entry in material['pictures']:
            ids, sure = (cv2.imread(str(folder / f'{entry["stem"]}_{what}.png'), cv2.IMREAD_GRAYSCALE)
                         for what in ('prediction', 'confidence'))
            assert colorize(ids, material['palette'])[..., ::-1].tobytes() in shown
            assert heat(sure / 255.)[..., ::-1].tobytes() in shown
            assert page.images['target', title, entry['path']] == scores[entry['path']]
            kept += 1
        for kind in ('best', 'worst'):  # an image may be that of both
            assert re.search(rf'<h4>{kind} of [^<]*\b{title}\b', text)
    assert len(page.images) == kept >= 6
    assert all(worst[title] in [v for key, v in page.images.items() if key[1] == title] for title in 'ab')
    single = write_report_page(runs[1:], tmp_path / 'report.html').read_text()
    assert 'confidence: blue 0, yellow 1' in single and 'worst of adapted' in single


def test_the_command_to_go_on(runs, tmp_path):
    """Quoted for a shell, of the training's own config where others lie beside it, longer where it is at its end."""
    run = tmp_path / 'my run'
    shutil.copytree(runs[1], run)
    (run / 'a_test.py').write_text('x = 1\n')  # a test with another config leaves it there
    text = write_report_page([run], tmp_path / 'report.html').read_text()
    line = html.unescape(re.findall(r'<pre>([^<]*)</pre>', text)[-1]).splitlines()[-1]
    words = shlex.split(line)
    config = next(path for path in run.glob('*.py') if path.name != 'a_test.py')
    assert words == ['python', 'tools/train.py', str(config), '--work-dir', str(run), '--resume', '--cfg-options',
                     'train_cfg.max_iters=8']
    assert 'my run has reached its end (4 iters)' in text
    next(run.glob('*/vis_data/config.py')).write_text('train_cfg = dict(max_iters=9)\n')
    text = write_report_page([run], tmp_path / 'report.html').read_text()
    assert 'vis_data/config.py' in (rest := text.split('id="continue"')[1]) and 'max_iters' not in rest


def start(run, date, scores, resume=None, first=1, classes=('a', 'b'), image='p.png', test=None):
    """The log folder that a start leaves: ``scores`` by evaluation, a loss every ten iterations from ``first`` on."""
    log = run / f'20261201_{date}0000'
    (log / 'vis_data').mkdir(parents=True)
    config = f'resume = {resume}\n' * (resume is not None) + f'load_from = {test!r}\n' * (test is not None)
    (log / 'vis_data/config.py').write_text(config)
    last = max([int(name[5:]) for name in scores if name != 'test'], default=0)
    (log / 'vis_data/scalars.json').write_text(
        ''.join(json.dumps(dict(loss=1 / i, iter=i)) + '\n' for i in range(first, last + 1, 10)))
    for name, score in scores.items():
        (log / f'evaluation_{name}.csv').write_text(f'domain,images,mIoU\nown,1,{score}\n')
        folder = log / 'report' / name / 'own'
        folder.mkdir(parents=True)
        for what in ('prediction.png', 'label.png', 'confidence.png', 'image.jpg'):
            cv2.imwrite(str(folder / f'0000_{what}'), np.eye(32, dtype=np.uint8))
        (folder / 'pictures.json').write_text(json.dumps(dict(
            classes=classes, palette=[[9 * i, 0, 0] for i in range(len(classes))], images=1,
            pictures=[dict(index=0, path=image, score=score, kinds=['sample'], stem='0000')])))
        (folder / 'confusion.csv').write_text('\n'.join(
            [','.join(['label', *classes]), *(','.join([c, *'1' * len(classes)]) for c in classes)]))
    return log


def newest(run):
    text = write_report_page([run], run / 'report.html').read_text()
    return Page(text).numbers, text


@pytest.mark.parametrize('resume', [False, None], ids=['stated', 'not stated'])
def test_a_run_that_was_thrown_away_is_not_shown(tmp_path, resume):
    """1000 iterations, then --overwrite with 500 and other classes: the logs of the first run stay."""
    start(tmp_path, 10, dict(iter_500=20., iter_1000=25.), resume)
    late = start(tmp_path, 11, dict(iter_250=70., iter_500=80.), resume, classes=('x', 'y', 'z'))
    numbers, text = newest(tmp_path)
    record = read_run(tmp_path)
    assert numbers == [('own', 'mIoU', 80.)] and 'iter 500' in text and 'iter 1000' not in text
    assert [(e.iteration, e.domains['own']['mIoU']) for e in record.evaluations] == [(250, 70.), (500, 80.)]
    assert record.scalars['loss'][-1][0] == 491 and record.newest.material.parts[-3] == late.name
    assert write_charts(tmp_path) and 'x' in text.split('id="confusion"')[1]
    if resume is False:
        assert counted_logs(tmp_path) == [late]
    # refused, or ended before its first log: nothing was thrown away yet
    (tmp_path / '20261201_120000/vis_data').mkdir(parents=True)
    (tmp_path / '20261201_120000/vis_data/config.py').write_text('resume = False\n')
    assert newest(tmp_path)[0] == numbers


def test_a_test_does_not_hide_later_validations(tmp_path):
    start(tmp_path, 10, dict(iter_100=30., iter_200=40.), False)
    start(tmp_path, 11, dict(test=41.), False, test='work/iter_200.pth')
    numbers, text = newest(tmp_path)
    assert numbers == [('own', 'mIoU', 41.)] and 'test of iter_200.pth' in text
    start(tmp_path, 12, dict(iter_300=50., iter_400=60.), True, first=201)
    numbers, text = newest(tmp_path)
    assert numbers == [('own', 'mIoU', 60.)] and '<td>iter 400</td>' in text
    record = read_run(tmp_path)
    assert [e.name for e in record.evaluations] == ['iter_100', 'iter_200', 'test', 'iter_300', 'iter_400']
    assert [i for i, _ in record.scalars['loss']] == list(range(1, 400, 10)) and record.trained.name[9:11] == '12'
    # from an earlier checkpoint: what was trained beyond it is no part of the run
    start(tmp_path, 13, dict(iter_300=55.), True, first=201)
    record = read_run(tmp_path)
    assert [e.domains['own']['mIoU'] for e in record.evaluations] == [30., 40., 41., 55.]
    assert record.scalars['loss'][-1][0] == 291


@pytest.mark.parametrize('other', [dict(image='rain/p.png'), dict(classes=('b', 'a')), {}])
def test_runs_with_other_images_or_classes_are_shown_apart(tmp_path, other):
    start(tmp_path / 'one', 10, dict(iter_10=10.))
    start(tmp_path / 'two', 10, dict(iter_10=90.), **other)
    text = write_report_page([tmp_path / 'one', tmp_path / 'two'], tmp_path / 'r.html').read_text()
    assert text.count('class="legend"') == text.count('<div class="row"') == (2 if other else 1)
    assert ('shown apart' in text) == ('<h3>own: two</h3>' in text) == bool(other)
    assert len(Page(text).images) == 2


def test_a_run_without_a_log_and_a_damaged_picture(tmp_path):
    (tmp_path / 'early/20261201_100000/vis_data').mkdir(parents=True)
    text = newest(tmp_path / 'early')[1]
    assert text.count('early ended before its first log') == 2 and 'finished weights' not in text
    log = start(tmp_path / 'cut', 10, dict(iter_10=10.))
    (log / 'report/iter_10/own/0000_image.jpg').write_bytes(b'')
    (log / 'evaluation_iter_20.csv').write_text('')  # the process was killed here
    text = newest(tmp_path / 'cut')[1]
    assert '0000_image.jpg' in text.split('class="damaged"')[1] and len(Page(text).images) == 1
    start(tmp_path / 'test', 10, dict(test=10.), False, test='a.pth')
    assert newest(tmp_path / 'test')[1].count('these are tests of finished weights') == 2


def test_training_leaves_charts_in_the_work_dir(runs):
    for folder in runs:
        assert {p.name for p in folder.glob('*.png')} == {'losses.png', 'scores.png', 'confusion_target.png'}
        assert all(np.ptp(cv2.imread(str(p))) > 100 for p in folder.glob('*.png'))


def test_only_the_newest_evaluation_keeps_pictures(runs):
    older, newest = (sorted(runs[0].glob(f'*/report/iter_{i}/target')) for i in (2, 4))
    assert not list(older[0].glob('*.jpg')) and (older[0] / 'images.csv').is_file()
    assert list(newest[0].glob('*_prediction.png')) and list(newest[0].glob('*_confidence.png'))
    rows = (newest[0] / 'images.csv').read_text().splitlines()
    assert len(rows) == 1 + 12  # one per image


def test_confusion_matrix_counts_every_labeled_pixel(runs):
    from mmseg_dg.visualization.run_record import read_confusion
    names, matrix = read_confusion(sorted(runs[0].glob('*/report/iter_4/target/confusion.csv'))[0])
    assert names == ['road', 'building', 'sky', 'car'] and matrix.sum() == 12 * 78 * 96  # two rows are not labeled


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no work dir at'):
        read_run(tmp_path / 'nothing')
    with pytest.raises(FileNotFoundError, match='holds no run'):
        read_run(tmp_path)
    (tmp_path / 'mine/run/20261130_101500/vis_data').mkdir(parents=True)  # as mmseg_dg.adapt leaves it
    assert (read_run(tmp_path / 'mine').title, read_run(tmp_path / 'mine').folder.name) == ('mine', 'run')
    with pytest.raises(ValueError, match='2 titles|as many titles'):
        write_report_page([tmp_path], tmp_path / 'x.html', titles=['a', 'b'])


def test_settings_that_differ(runs):
    records = [read_run(folder) for folder in runs]
    found = differing_settings([record.config for record in records])
    assert found['model.type'] == ["'Supervised'", "'DACS'"] and 'work_dir' not in found


BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


@pytest.mark.ci
@pytest.mark.skipif(BROWSER is None, reason='skipped: neither Chromium nor Chrome is installed')
def test_a_browser_shows_every_section_without_an_error(runs, tmp_path):
    path = write_report_page(runs, tmp_path / 'report.html')
    done = subprocess.run([BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr',
                           '--virtual-time-budget=4000', '--dump-dom', path.as_uri()], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0
    assert [s for s in SECTIONS if f'id="{s}"' not in done.stdout] == []
    assert not re.findall(r'CONSOLE.*', done.stderr)


def test_the_tool_ends_a_mistake_with_one_message(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / 'tools' / 'report.py'), str(tmp_path)], capture_output=True,
                          text=True)
    assert done.returncode == 1 and 'holds no run' in done.stderr and 'Traceback' not in done.stderr
