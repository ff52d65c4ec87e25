"""Every method in bfloat16 on the CPU, through the runner: finite, and near what float32 gives."""
import math

import pytest
import torch
from mmengine.config import Config

from mmseg_dg.apis.launch import build_runner, enable_amp

from .catalog import load
from .fake_data import write_all
from .shrink import shrink
from .test_dataset_files import plant

METHODS = [
    'daformer_mitb5_gta2cityscapes', 'hrda_mitb5_gta2cityscapes', 'hrda_dg_shade_mitb5_gta',
    'pixl_hrda_mitb5_gta2cityscapes', 'deft_r50_gta_released --row acc', 'fixmatch_r50_voc_classic_183',
    'unimatch_r50_cityscapes_1_8', 'diffmatch_r50_voc_classic_183', 'ddep_transunet_1x_folder'
]

#: Those whose first loss is held against that in float32.
COMPARED = ('daformer_mitb5_gta2cityscapes', 'deft_r50_gta_released --row acc')


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    return plant(write_all(tmp_path_factory.mktemp('bf16_data')))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path_factory.getbasetemp() / 'cache'))


def losses(name, folder, data, bf16):
    """Losses of the first iteration, and the runner after two."""
    cfg = shrink(load(name), folder, data)
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'TrainingPicturesHook':
            hook.interval = 0
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.default_hooks.checkpoint.save_best = None
    if bf16:
        enable_amp(cfg)
        assert cfg.optim_wrapper.type == 'BF16OptimWrapper'
    cfg = Config(cfg._cfg_dict, format_python_code=False)
    cfg.experiment_name = '_'.join([*name.split(' --row '), folder.name])
    runner = build_runner(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    found = {k: float(v._log_history[0]) for k, v in scalars.items() if 'loss' in k}
    found.update({f'{k} at the end': float(v.current()) for k, v in scalars.items() if 'loss' in k})
    return found, runner


@pytest.mark.ci
@pytest.mark.parametrize('name', METHODS)
def test_bf16(name, tmp_path, data):
    for part in ('half', 'full'):
        (tmp_path / part).mkdir()
    ours, runner = losses(name, tmp_path / 'half', data, bf16=True)
    assert ours and all(math.isfinite(v) for v in ours.values()), ours
    assert all(torch.isfinite(v).all() and v.dtype != torch.bfloat16
               for v in runner.model.state_dict().values() if v.is_floating_point()), 'weights stay in float32'
    total, = (v for k, v in ours.items() if k.endswith('/loss'))
    if name not in COMPARED:
        return
    full, _ = losses(name, tmp_path / 'full', data, bf16=False)
    reference, = (v for k, v in full.items() if k.endswith('/loss'))
    assert total == pytest.approx(reference, rel=0.1), 'the first loss, before weights differ'
