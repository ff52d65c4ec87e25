"""From folders to overlays and a report with the commands of docs/custom_data.md, each a process of its own."""
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs/custom_data.md').read_text(encoding='utf-8').split('## Folders')[0]
COLORS = np.array([[70, 80, 100], [40, 160, 40], [60, 120, 120], [160, 60, 200], [200, 180, 60]])  # BGR
SIZE = (64, 192)
#: The test's only change of the page's config: a minute instead of twenty.
SHORTER = """
train_cfg = dict(max_iters=60, val_interval=60, crop_size=96)
default_hooks = dict(checkpoint=dict(interval=60))
"""


def draw(folder, count, seed, endings, masks=None):
    """Pictures of five kinds of blobs on soil, and their masks."""
    rng = np.random.default_rng(seed)
    for place in (folder, masks):
        if place is not None:
            place.mkdir(parents=True)
    for i in range(count):
        label = np.zeros(SIZE, np.uint8)
        for kind in (*range(1, 5), *range(1, 5)):
            center = int(rng.integers(0, SIZE[1])), int(rng.integers(0, SIZE[0]))
            cv2.ellipse(label, center, (int(rng.integers(14, 26)), int(rng.integers(10, 18))), 0, 0, 360, kind, -1)
        image = COLORS[label] * rng.uniform(0.85, 1.1) + rng.normal(0, 10, (*SIZE, 3))
        cv2.imwrite(str(folder / f'{i:04d}{endings[i % len(endings)]}'), image.clip(0, 255).astype(np.uint8))
        if masks is not None:
            cv2.imwrite(str(masks / f'{i:04d}.png'), label)


def commands():
    """Lines of the page's command block."""
    block = re.search(r'```bash\n(.*?)```', PAGE, flags=re.S).group(1)
    return [line.split(' #')[0].strip() for line in block.splitlines() if line.strip()]


def test_the_page_needs_at_most_ten_commands():
    assert 4 <= len(commands()) <= 10
    assert all(line.startswith('python tools/') for line in commands())


@pytest.mark.ci
def test_from_folders_to_overlays_and_report(tmp_path):
    data = tmp_path / 'data/plants'
    draw(data / 'images', 50, 0, ('.jpg', '.png'), data / 'masks')
    draw(data / 'field/a', 60, 1, ('.png', '.jpg'))
    (tmp_path / 'tools').symlink_to(ROOT / 'tools')
    config = re.search(r'```python\n(_base_ = .*?)```', PAGE, flags=re.S).group(1)
    config = config.replace('mmseg_dg::', f'{ROOT}/configs/')
    (tmp_path / 'plants.py').write_text(config + SHORTER, encoding='utf-8')
    environment = dict(os.environ, OMP_NUM_THREADS='1', MPLBACKEND='agg',
                       PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    said = {}
    for line in commands():
        done = subprocess.run(['bash', '-c', line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f'{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
        said[Path(line.split()[1]).stem] = done.stdout + done.stderr

    splits = {name: (data / f'splits/train_val/{name}.txt').read_text().split() for name in ('train', 'val')}
    assert (len(splits['train']), len(splits['val'])) == (40, 10) and not set(splits['train']) & set(splits['val'])
    assert '0 errors, 0 warnings' in said['doctor']
    assert {path.name for path in (tmp_path / 'look').iterdir()} >= {'labeled.png', 'unlabeled.png', 'mixed_0.png'}
    assert len(said['train'].splitlines()) < 60 and 'Traceback' not in said['train'], said['train']
    check_results(tmp_path, tmp_path / 'work_dirs/plants')


def check_results(tmp_path, work):
    """Checkpoints, pictures, predictions, page."""
    assert (work / 'iter_60.pth').is_file() and len(list(work.glob('best_*.pth'))) == 1
    assert {path.name for path in work.glob('*.png')} >= {'losses.png', 'confusion_own.png'}
    with open(next(work.glob('*/evaluation_iter_60.csv')), newline='') as file:
        scores = {row['domain']: row for row in csv.DictReader(file)}
    assert float(scores['own']['mIoU']) > 50, 'soil alone would give 15'
    predicted = tmp_path / 'predicted'
    assert len(list(predicted.glob('labels/**/*.png'))) == len(list(predicted.glob('overlays/**/*.jpg'))) == 60
    assert cv2.imread(str(predicted / 'labels/a/0000.png'), cv2.IMREAD_UNCHANGED).shape == SIZE
    with open(predicted / 'class_shares.csv', newline='') as file:
        rows = list(csv.reader(file))
    assert rows[0] == ['image', 'soil', 'leaf', 'stem', 'flower', 'weed'] and len(rows) == 61
    page = (work / 'report.html').read_text(encoding='utf-8')
    assert f'data-domain="own" data-metric="mIoU" data-value="{float(scores["own"]["mIoU"])!r}"' in page
    for checkpoint in work.glob('*.pth'):  # tens of megabytes each
        checkpoint.unlink()
