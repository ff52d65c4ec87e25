"""Options of tools/train.py and tools/test.py and what they do to a config."""
import argparse
import logging
import os

import pytest
import torch
from mmengine.config import Config

from mmseg_dg.apis import launch


def parse(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    launch.add_common_args(parser)
    return launch.finish_args(parser.parse_args(['x.py', *words]), parser)


def config(**changes):
    loader = dict(batch_size=2, dataset=dict(type='A', pipeline=[dict(type='Load')]))
    base = dict(
        model=dict(type='M', backbone=dict(norm_cfg=dict(type='SyncBN')), heads=[dict(norm_cfg=dict(type='SyncBN'))]),
        train_dataloader=dict(source=loader, target=dict(loader, batch_size=3)), train_cfg=dict(max_iters=10),
        test_dataloader=dict(day=loader, night=loader),
        test_evaluator=dict(day=dict(type='Score'), night=[dict(type='Score'), dict(type='Other')]),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-5)),
        auto_scale_lr=dict(base_batch_size=2), work_dir='w', launcher='none')
    return Config({**base, **changes})


@pytest.fixture
def messages(monkeypatch):
    found = []
    for part in ('changes', 'options', 'resuming'):
        monkeypatch.setattr(f'mmseg_dg.apis.launch.{part}.print_log',
                            lambda text, logger=None, level=logging.INFO: found.append((level, text)))
    return found


@pytest.mark.parametrize('text, value', [
    ('a=1', 1), ('a=1e-3', 1e-3), ('a=true', True), ('a=None', None), ('a=x,y', ['x', 'y']), ('a=[1,2]', [1, 2]),
    ('a=(1,2)', (1, 2)), ('a=[x,y]', ['x', 'y']), ("a=[{'type': 'A', 'k': (1, 2)}]", [{'type': 'A', 'k': (1, 2)}]),
    ("a={'b': 1}", {'b': 1}), ('a=k=v', 'k=v')])
def test_config_options_values(text, value):
    assert parse('--cfg-options', text).cfg_options == {'a': value}


@pytest.mark.parametrize('text, message', [("a=[dict(type='A')]", 'Python literals'), ('novalue', 'key=value')])
def test_config_options_errors_say_how_to_write_it(text, message, capsys):
    with pytest.raises(SystemExit):
        parse('--cfg-options', text)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize('words, rank', [(['--local-rank', '1'], 1), (['--local_rank=2'], 2), ([], 0)])
def test_local_rank_is_tolerated_in_both_spellings(words, rank, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    assert parse(*words).local_rank == rank
    assert os.environ.pop('LOCAL_RANK') == str(rank)


def test_several_gpus_need_a_launcher(capsys):
    with pytest.raises(SystemExit):
        parse('--gpus', '2')
    assert '--launcher pytorch' in capsys.readouterr().err
    assert parse('--gpus', '2', '--launcher', 'pytorch').gpus == 2


def test_unknown_option_is_named_with_the_closest_key(messages):
    unknown = launch.warn_unknown_options(config(), {'optim_wrapper.optimizer.rl': 1, 'train_cfg.max_iters': 5,
                                                     'train_dataloader.source.dataset.pipeline.0.type': 'x'})
    assert unknown == ['optim_wrapper.optimizer.rl']
    (level, text), = messages
    assert level == logging.WARNING
    assert '"optim_wrapper.optimizer.rl"' in text and '"optim_wrapper.optimizer.lr"' in text


def test_options_the_runner_knows_are_not_unknown(messages):
    assert launch.warn_unknown_options(config(), {'load_from': 'x', 'randomness.seed': 1, 'resume': True}) == []
    assert not messages


def test_load_config_applies_options(tmp_path, messages):
    path = tmp_path / 'my.py'
    path.write_text('a = dict(b=1)\n')
    args = argparse.Namespace(config=str(path), cfg_options={'a.b': 2}, launcher='none', work_dir=None)
    cfg = launch.load_config(args)
    assert cfg.a.b == 2 and cfg.work_dir == 'work_dirs/my' and cfg.launcher == 'none'
    args.work_dir = 'here'
    cfg = launch.load_config(args)
    assert cfg.work_dir == 'here'


def test_resume_semantics(tmp_path, messages):
    cfg = config(work_dir=str(tmp_path), load_from='pretrained.pth', resume=True)
    launch.set_resume(cfg, None)
    assert (cfg.resume, cfg.load_from) == (True, 'pretrained.pth')  # not asked: the config decides
    cfg = config(work_dir=str(tmp_path), load_from='pretrained.pth', resume=False)
    launch.set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')  # nothing there yet: start as configured
    checkpoint = tmp_path / 'iter_5.pth'
    checkpoint.touch()
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    launch.set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, None)
    launch.set_resume(cfg, str(checkpoint))
    assert (cfg.resume, cfg.load_from) == (True, str(checkpoint))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        launch.set_resume(cfg, 'nowhere.pth')


@pytest.mark.parametrize('cuda, kind', [(True, 'AmpOptimWrapper'), (False, 'BF16OptimWrapper')])
def test_amp_by_device(cuda, kind, monkeypatch, messages):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    cfg = config()
    launch.enable_amp(cfg)
    assert cfg.optim_wrapper.type == kind
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if cuda else None)
    launch.enable_amp(cfg)  # a second time changes nothing
    assert cfg.optim_wrapper.type == kind


def test_amp_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match='Strange'):
        launch.enable_amp(config(optim_wrapper=dict(type='Strange')))


def test_scaling_the_learning_rate_is_left_to_the_runner_and_needs_the_reference():
    cfg = config()
    launch.enable_lr_scaling(cfg)
    assert cfg.auto_scale_lr.enable and cfg.optim_wrapper.optimizer.lr == 6e-5
    for settings in (dict(enable=True), None):
        with pytest.raises(ValueError, match='base_batch_size'):
            launch.enable_lr_scaling(config(auto_scale_lr=settings))


def test_cpu_processes(monkeypatch):
    """gloo group, the wrapper for methods, and plain BatchNorm."""
    started = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'init_process_group', started.append)
    cfg = config(launcher='pytorch')
    launch.prepare_processes(cfg)
    assert started == ['gloo']
    assert cfg.model_wrapper_cfg.type == 'MethodDistributedWrapper'
    from mmengine.registry import MODEL_WRAPPERS
    assert MODEL_WRAPPERS.get('MethodDistributedWrapper') is not None
    assert cfg.model.backbone.norm_cfg.type == 'BN' and cfg.model.heads[0].norm_cfg.type == 'BN'


def test_cuda_processes_are_left_to_mmengine(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *a: pytest.fail('mmengine starts it'))
    cfg = config(launcher='slurm')
    launch.prepare_processes(cfg)
    assert cfg.model_wrapper_cfg.type == 'MethodDistributedWrapper'
    assert cfg.model.backbone.norm_cfg.type == 'SyncBN'


def test_a_wrapper_of_the_config_is_kept(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *a: None)
    cfg = config(launcher='pytorch', model_wrapper_cfg=dict(type='MMDistributedDataParallel'))
    launch.prepare_processes(cfg)
    assert cfg.model_wrapper_cfg.type == 'MMDistributedDataParallel' and cfg.model_wrapper_cfg.device_ids is None


def test_slurm_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='--launcher pytorch'):
        launch.prepare_processes(config(launcher='slurm'))


def test_one_process_needs_nothing():
    cfg = config()
    launch.prepare_processes(cfg)
    assert 'model_wrapper_cfg' not in cfg and cfg.model.backbone.norm_cfg.type == 'SyncBN'


def test_tta_changes_every_domain_and_wraps_the_model():
    inner = dict(type='A', pipeline=[])
    cfg = config(tta_pipeline=[dict(type='TestTimeAug')], test_dataloader=dict(
        day=dict(dataset=dict(type='RepeatDataset', dataset=inner)),
        night=dict(dataset=dict(type='ConcatDataset', datasets=[inner, inner]))))
    launch.enable_tta(cfg)
    assert cfg.test_dataloader.day.dataset.dataset.pipeline[0].type == 'TestTimeAug'
    assert [d.pipeline[0].type for d in cfg.test_dataloader.night.dataset.datasets] == ['TestTimeAug'] * 2
    assert cfg.model.type == 'SegTTAModel' and cfg.model.module.type == 'M'


def test_tta_needs_a_pipeline():
    with pytest.raises(ValueError, match='tta_pipeline'):
        launch.enable_tta(config())


@pytest.mark.parametrize('evaluator', [
    dict(type='Score'), [dict(type='Score')], dict(metrics=[dict(type='Score')]), dict(day=[dict(type='Score')])])
def test_out_reaches_every_metric(evaluator):
    cfg = config(test_evaluator=evaluator)
    launch.save_predictions(cfg, 'there')
    assert str(cfg.test_evaluator).count("'output_dir': 'there'") == 1


def test_out_needs_a_metric():
    with pytest.raises(ValueError, match='--out'):
        launch.save_predictions(config(test_evaluator=[]), 'there')


def test_show_dir():
    cfg = config()
    launch.show_predictions(cfg, 'pictures')
    hook = cfg.default_hooks.visualization
    assert hook.draw is True and hook.interval == 1 and cfg.visualizer.save_dir == 'pictures'


def test_runner_type_of_the_config_is_built(monkeypatch):
    from mmseg_dg.registry import RUNNERS
    monkeypatch.setattr(RUNNERS, 'build', lambda cfg: ('ours', cfg.runner_type))
    monkeypatch.setattr('mmengine.runner.Runner.from_cfg', lambda cfg: 'stock')
    assert launch.build_runner(config()) == 'stock'
    assert launch.build_runner(config(runner_type='UDARunner')) == ('ours', 'UDARunner')
