"""The demo, killed and resumed through the command line, ends where an uninterrupted one ends."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmseg_dg.utils.checkpoint_reader import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'daformer_synthcity_demo.py'
OPTIONS = [
    'train_cfg.max_iters=6', 'train_cfg.val_interval=3', 'param_scheduler.0.warmup_iters=2',
    'default_hooks.checkpoint.interval=2', 'default_hooks.checkpoint.max_keep_ckpts=-1',
    'default_hooks.logger.interval=1',
    'train_dataloader.source.dataset.num_images=6', 'train_dataloader.target.dataset.num_images=6',
    'train_dataloader.source.sampler.min_pixels=20', 'val_dataloader.camera.dataset.num_images=2',
    'val_dataloader.night.dataset.num_images=2'
]


def start(work_dir: Path, cache: Path, *extra: str) -> subprocess.Popen:
    env = dict(os.environ, OMP_NUM_THREADS='1', MMSEG_DG_CACHE=str(cache))
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(CONFIG), '--work-dir', str(work_dir), *extra,
               '--cfg-options', *OPTIONS]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output[-3000:]


def tensors(value, prefix='', out=None):
    out = {} if out is None else out
    if isinstance(value, torch.Tensor):
        out[prefix] = value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            tensors(item, f'{prefix}.{key}', out)
    elif isinstance(value, (int, float)):
        out[prefix] = torch.tensor(value)
    return out


@pytest.mark.ci
def test_killed_and_resumed_demo_is_bit_identical(tmp_path):
    finish(start(tmp_path / 'whole', tmp_path / 'cache'))
    process = start(tmp_path / 'part', tmp_path / 'cache')
    deadline = time.time() + 300
    while not (tmp_path / 'part' / 'last_checkpoint').exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finish(start(tmp_path / 'part', tmp_path / 'cache', '--resume'))
    whole, part = (read_checkpoint(tmp_path / name / 'iter_6.pth') for name in ('whole', 'part'))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        a, b = tensors(whole[key]), tensors(part[key])
        assert a.keys() == b.keys() and len(a) > 0
        for name in a:
            assert torch.equal(a[name], b[name]), f'{key}{name}'
    scores = [c['message_hub']['log_scalars']['val/mean/mIoU'].data[0].tolist() for c in (whole, part)]
    assert scores[0][-1] == scores[1][-1]
