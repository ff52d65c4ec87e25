"""The report: every number is the run's own, every picture is there."""
import base64
import csv
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.apis.report import write_report_page
from mmseg_dg.visualization.run_record import differing_settings, read_run

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ['scores', 'pictures', 'curves', 'classes', 'confusion', 'step', 'settings', 'environment', 'continue']


class Page(HTMLParser):
    """Numbers, pictures and sections of a report."""

    def __init__(self, text):
        super().__init__()
        self.numbers, self.pictures, self.sections, self.links, self.texts = [], [], [], [], []
        self.expects_text = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if 'data-value' in found:
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
    assert len(page.pictures) >= 2 * 4 + 1  # per shown image: image, label, two predictions; one training step
    assert all(decoded(source).shape[0] > 30 for source in page.pictures)
    assert all(len(np.unique(decoded(source).reshape(-1, 3), axis=0)) > 1 for source in page.pictures[:2]), (
        'the first image and its label')
    photos = [s for s in page.pictures if s.startswith('data:image/jpeg')]
    assert photos and all(np.ptp(decoded(source)) > 30 for source in photos)
    assert 'model.type' in text  # a setting that differs
    assert f'--work-dir {runs[1]} --resume' in text


def test_a_single_run_shows_its_confidence(runs, tmp_path):
    text = write_report_page(runs[1:], tmp_path / 'report.html').read_text()
    assert 'confidence: blue 0, yellow 1' in text and 'worst of the first run' in text


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
