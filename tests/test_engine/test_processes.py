"""Shrunken real configs in two CPU processes, started as a user starts them."""
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from test_configs.catalog import load
from test_configs.fake_data import write_all
from test_configs.shrink import shrink
from test_configs.test_dataset_files import plant

from mmseg_dg.apis.launch import use_plain_batch_norm

from .test_distributed import free_port

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
METHODS = ['daformer_mitb5_gta2cityscapes', 'hrda_mitb5_gta2cityscapes', 'deft_r50_gta',
           'pixl_hrda_mitb5_gta2cityscapes', 'ddep_transunet_1x_folder', 'diffmatch_r50_voc_classic_183']


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    # every stream, the labeled parts too, has a batch of two for two processes
    return plant(write_all(tmp_path_factory.mktemp('process_data'), count=8), count=8, labeled=4)


def config_file(name, tmp_path, data):
    """A shrunken config of four iterations as a file, and the folder of its run."""
    cfg = shrink(load(name), tmp_path, data, iters=4)
    cfg.custom_hooks = [h for h in cfg.get('custom_hooks', []) if 'Pictures' not in h.type]
    path = tmp_path / f'{name}.py'
    Config(cfg._cfg_dict, format_python_code=False).dump(path)
    return path, Path(cfg.work_dir)


def run(command, tmp_path, **more):
    env = dict(os.environ, OMP_NUM_THREADS='1', PORT=str(free_port()), MMSEG_DG_CACHE=str(tmp_path / 'cache'),
               PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}', **more)
    process = subprocess.Popen([str(x) for x in command], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, cwd=tmp_path, start_new_session=True)
    try:
        out = process.communicate(timeout=900)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the workers too, or they would wait for their launcher
        raise
    return process.returncode, out


@pytest.mark.ci
@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('way', ['dist_train', 'mim'])
def test_two_processes_train(way, name, tmp_path, data):
    path, work_dir = config_file(name, tmp_path, data)
    if way == 'dist_train':
        command = ['bash', TOOLS / 'dist_train.sh', path, '2']
    else:
        command = [sys.executable, '-m', 'mim', 'train', 'mmseg_dg', path, '--launcher', 'pytorch', '--gpus', '2',
                   '--port', free_port()]
    status, out = run(command, tmp_path)
    assert status == 0, out[-3000:]
    assert re.search(r'Iter\(train\) +\[4/4\]', out), out[-3000:]
    state = torch.load(work_dir / 'iter_4.pth')['state_dict']
    assert all(torch.isfinite(v).all() for v in state.values() if v.is_floating_point())
    assert ("sync_bn='torch'" in out) == (name.startswith('deft') and not torch.cuda.is_available())


BREAK = '''
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg_dg.registry import HOOKS


@HOOKS.register_module()
class BreakOneRank(Hook):

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and batch_idx == 2:
            images = data_batch['target']['inputs']
            images[0] = images[0].float()
            images[0][0, 5, 5] = float('nan')
'''


@pytest.mark.ci
@pytest.mark.parametrize('action', ['stop', 'skip'])
def test_one_process_with_nan_stops_or_skips_both(action, tiny_config, tmp_path):
    """Neither hangs, neither steps alone, and the message of every process names the image of the other."""
    cfg = tiny_config(max_iters=4, val_interval=4)
    cfg.custom_hooks.append(dict(type='BreakOneRank'))
    cfg.custom_imports.imports.append('break_one_rank')
    cfg.runner_type = 'UDARunner'
    cfg.train_cfg.on_nonfinite = action
    (tmp_path / 'break_one_rank.py').write_text(BREAK)
    cfg.dump(tmp_path / 'cfg.py')
    status, out = run(['bash', TOOLS / 'dist_train.sh', tmp_path / 'cfg.py', '2'], tmp_path,
                      PYTHONPATH=str(tmp_path))
    found = re.findall(r'process 1: stream "target": the image \S+\.png has NaN', out)
    if action == 'stop':
        assert status != 0 and len(found) >= 2 and {p.name for p in (tmp_path / 'run').glob('*.pth')} == {'iter_2.pth'}
        return
    assert status == 0 and found, out[-3000:]
    last = torch.load(tmp_path / 'run' / 'iter_4.pth')
    assert int(last['state_dict']['teacher.steps']) == 3
    assert last['message_hub']['runtime_info']['nonfinite_steps'] == [1, 0]


def test_sync_batch_norm_becomes_plain_with_a_warning(monkeypatch):
    said = []
    monkeypatch.setattr('mmseg_dg.apis.launch.changes.print_log', lambda text, **kwargs: said.append(text))
    cfg = Config(dict(sync_bn='torch', model=dict(type='DeFT', network=dict(
        backbone=dict(norm_cfg=dict(type='BN')), decode_head=[dict(norm_cfg=dict(type='SyncBN', eps=1e-3))]))))
    use_plain_batch_norm(cfg)
    assert cfg.sync_bn is None and cfg.model.network.decode_head[0].norm_cfg == dict(type='BN', eps=1e-3)
    assert len(said) == 1 and "sync_bn='torch'" in said[0] and 'norm_cfg type SyncBN' in said[0]
    use_plain_batch_norm(cfg)
    assert len(said) == 1
