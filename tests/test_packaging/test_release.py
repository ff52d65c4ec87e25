"""A release: the package index accepts wheel and sdist, and what a newcomer types first runs from the wheel alone."""
import importlib.util
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.packaging, pytest.mark.ci]
#: The demo's settings, as short as they can be.
SHORT = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2',
         'param_scheduler.0.warmup_iters=1',
         *(f'{role}_dataloader.{name}.dataset.num_images=8' for role, names in (
             ('train', ('source', 'target')), ('val', ('camera', 'night')), ('test', ('camera', 'night')))
           for name in names)]


@pytest.fixture(scope='session')
def sdist(wheel):
    """The source distribution that the wheel was built from."""
    path, = wheel.parent.glob('*.tar.gz')
    return path


def test_demo_weights_and_configs_are_inside(wheel, sdist):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        weights = archive.read('mmseg_dg/assets/city_day_mobilenetv2.safetensors')
    assert weights == (ROOT / 'mmseg_dg/assets/city_day_mobilenetv2.safetensors').read_bytes()
    assert {'mmseg_dg/assets/city_day_mobilenetv2.json', 'mmseg_dg/.mim/configs/demo/daformer_synthcity_demo.py',
            'mmseg_dg/.mim/configs/_base_/models/mobilenetv2_city.py'} <= names
    with tarfile.open(sdist) as archive:
        inside = {name.partition('/')[2] for name in archive.getnames()}
    assert {'examples/onnx_inference.py', 'examples/quickstart.ipynb', 'docs/images/demo_before_after.jpg',
            'mmseg_dg/assets/city_day_mobilenetv2.safetensors', 'docs/getting_started.md', 'requirements/ci.txt',
            'tools/demo.py'} <= inside


def test_the_package_index_would_accept_them(wheel, sdist):
    if importlib.util.find_spec('twine') is None:
        pytest.skip('twine is not installed (requirements/ci.txt, `make test-ci`): wheel and sdist were not checked')
    done = subprocess.run([sys.executable, '-m', 'twine', 'check', '--strict', str(wheel), str(sdist)],
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count('PASSED') == 2, done.stdout + done.stderr


@pytest.fixture
def empty(tmp_path):
    """A folder with one photo and nothing of the repository."""
    folder = tmp_path / 'somewhere'
    folder.mkdir()
    blobs = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    cv2.imwrite(str(folder / 'photo.jpg'), cv2.resize(blobs, (128, 96), interpolation=cv2.INTER_CUBIC))
    return folder


def test_five_lines_and_the_first_overlay_from_the_wheel(installed, empty):
    lines = re.search(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(encoding='utf-8'), flags=re.S).group(1)
    said = installed.run(empty, '-c', lines + 'import mmseg_dg\nprint(ids.shape, ids.dtype, mmseg_dg.__file__)')
    assert "'road'" in said and f'(96, 128) int64 {installed.site}' in said
    installed.run(empty, str(installed.python.parent / 'mmseg-dg'), 'predict', 'mmseg_dg://city_day_mobilenetv2',
                  'photo.jpg', '--out', 'first', '--overlay')
    assert (empty / 'first/overlays/photo.jpg').is_file()


def test_a_shortened_demo_runs_from_the_wheel(installed, empty):
    said = installed.run(empty, '-m', 'mim', 'run', 'mmseg_dg', 'demo', '--jobs', '1', '--arms', 'before', 'daformer',
                         '--options', *SHORT)
    assert 'adapted to the camera (DAFormer)' in said
    found = json.loads((empty / 'work_dirs/demo/summary.json').read_text())
    assert found and (empty / 'work_dirs/demo/index.html').is_file()
    assert not [path for path in empty.iterdir() if path.name not in ('photo.jpg', 'work_dirs')]
