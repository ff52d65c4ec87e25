"""The two configs of docs/ddep.md for one's own images train, the second from the first one's checkpoint."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_apis.test_own_data import plant

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / 'docs/ddep.md').read_text(encoding='utf-8').split('## On your own images')[1].split('\n## ')[0]


@pytest.mark.ci
def test_both_configs_of_the_page_train(tmp_path):
    data = tmp_path / 'data/plants'
    plant(data, 4, size=(288, 384))
    plant(data / 'val', 2, size=(288, 384), seed=1)
    field = plant(tmp_path / 'field', 6, size=(288, 384), seed=2, masks=False)['images']
    field.rename(data / 'field')
    denoise, finetune = re.findall(r'```python\n(_base_ = .*?)```', SECTION, flags=re.S)
    assert 'iter_1500.pth' in finetune and 'max_iters=1500' in denoise
    shorter = '\ntrain_cfg = dict(max_iters=2, val_interval=2)\n'
    (tmp_path / 'denoise.py').write_text(denoise + shorter, encoding='utf-8')
    (tmp_path / 'finetune.py').write_text(finetune.replace('iter_1500', 'iter_2') + shorter, encoding='utf-8')
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    commands = [line.split() for line in re.search(r'```bash\n(.*?)```', SECTION, flags=re.S)[1].splitlines()]
    said = ''
    for verb, train, config in commands:
        assert (verb, train) == ('mmseg-dg', 'train')
        done = subprocess.run([sys.executable, '-m', 'mmseg_dg.cli', train, config], cwd=tmp_path, env=env,
                              capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-3000:]
    assert 'dropped noise_head' in said and 'own/mIoU' in said
