"""Finetuning from one's own checkpoint with other classes, and BatchNorm in a forward pass of one image."""
import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict

from mmseg_dg.registry import MODELS


def with_classes(cfg, count):
    classes = tuple(f'kind {i}' for i in range(count))
    cfg.model.network.decode_head.num_classes = count
    for loaders in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for loader in loaders.values():
            loader.dataset.metainfo = dict(classes=classes, palette=[[i, 0, 0] for i in range(count)])
    return cfg


def build(tiny_config, kind, count, seed=0, **model):
    torch.manual_seed(seed)
    cfg = with_classes(tiny_config(kind, **model), count)
    method = MODELS.build(cfg.model)
    method.init_weights()
    return method


@pytest.mark.parametrize('kind, copies, model', [
    ('DACS', ['student', 'teacher.module'], {}), ('Supervised', ['student'], {}),
    ('DeFT', ['student', 'encoder.module', 'decoder.module'], dict(distance=dict(weight_encoder=1., weight_decoder=1.),
                                                                   warmup_iters=0)),
])
@pytest.mark.parametrize('count', [5, 3, 4])
def test_all_but_the_classifier_is_loaded(tiny_config, kind, copies, model, count, capsys):
    old, new = (build(tiny_config, kind, n, seed, **model) for n, seed in ((4, 0), (count, 1)))
    for buffer in (b for name, b in old.named_buffers() if name.endswith('steps')):
        buffer.fill_(7)
    fresh = {k: v.clone() for k, v in new.state_dict().items()}
    if count != 4:
        with pytest.raises(ValueError, match='train_cfg.new_classifier=True'):
            load_state_dict(new, dict(old.state_dict()))
    new.new_classifier = True
    load_state_dict(new, dict(old.state_dict()))
    theirs, mine = old.state_dict(), new.state_dict()
    left = {k for k in mine if '.conv_seg.' in k or k.rpartition('.')[2] in ('steps', 'step_skipped', 'stage')}
    assert len([k for k in left if 'conv_seg' in k]) >= 2 * len(set(c.split('.')[0] for c in copies) - {'encoder'})
    for key, value in mine.items():
        torch.testing.assert_close(value, fresh[key] if key in left else theirs[key], msg=key)
    plain = {k[len('student.'):]: v for k, v in theirs.items() if k.startswith('student.')}
    load_state_dict(new, plain)  # a plain segmentor as well
    key = 'decode_head.conv_seg.weight'
    torch.testing.assert_close(new.state_dict()[f'student.{key}'], fresh[f'student.{key}'])
    assert 'do not match exactly' not in capsys.readouterr().out, 'what was left out has been said by name'


def test_another_network_is_still_refused(tiny_config):
    old, new = build(tiny_config, 'DACS', 4), build(tiny_config, 'DACS', 5)
    new.new_classifier = True
    state = old.state_dict()
    state['student.backbone.strange'] = torch.zeros(1)
    key = next(k for k in state if k.startswith('student.backbone') and k.endswith('weight'))
    state[key] = state[key][:3]
    with pytest.raises(ValueError, match=r'differs in more: other shapes \(1\).*unexpected \(1\)'):
        load_state_dict(new, state)


def test_hrda_and_denoiser_leave_what_follows_from_the_classes():
    from test_models.diffusion_networks import network_config

    from mmseg_dg.methods.checkpoints import _classifier_keys
    names = set(_classifier_keys(MODELS.build(network_config())))
    assert {'denoiser.conv_seg.weight', 'decode_head.conv_seg.bias', 'denoiser.code.table'} <= names


@pytest.mark.ci
def test_finetuning_from_a_run(tiny_config, run_config, tmp_path):
    run_config(tiny_config('DACS', max_iters=2))
    cfg = with_classes(tiny_config('DACS', max_iters=2, work_dir='next'), 5)
    cfg.load_from = str(tmp_path / 'run' / 'iter_2.pth')
    with pytest.raises(ValueError, match='new_classifier=True'):
        run_config(cfg)
    cfg.train_cfg.new_classifier = True
    cfg.log_level = 'INFO'
    runner = run_config(cfg)
    text = ''.join(path.read_text() for path in (tmp_path / 'next').rglob('*.log'))
    for name in ('student', 'teacher.module'):
        assert f'{name}.decode_head.conv_seg.weight (4, 8, 1, 1) -> (5, 8, 1, 1)' in text
    assert int(runner.model.teacher.steps) == 2
    cfg.resume, cfg.load_from, cfg.train_cfg.max_iters = True, None, 3  # a resumed run loads its own classifier
    assert run_config(cfg).iter == 3
    cfg.resume = False
    with pytest.raises(ValueError, match='there is none: set load_from'):
        run_config(cfg)


# ---------------------------------------------------------------- one image per forward pass
def pooling(cfg, **model):
    """A head whose image pooling ends in BatchNorm of 1x1 maps."""
    head = cfg.model.network.decode_head
    cfg.model.network.decode_head = dict(
        type='DepthwiseSeparableASPPHead', in_channels=8, in_index=3, channels=8, dilations=(1, 2), c1_in_channels=0,
        c1_channels=0, num_classes=4, norm_cfg=head.norm_cfg, dropout_ratio=0., align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss'))
    cfg.model.update(model)
    return cfg


def test_one_image_and_pooling_is_refused_by_name(tiny_config, run_config):
    cfg = pooling(tiny_config('DACS', batch_size=1))
    with pytest.raises(ValueError, match=r'stream "source" \(batch_size=1\): BatchNorm layer model\.network\.'
                                         r'decode_head\.image_pool\.1\.bn .*\(1, 8, 1, 1\).*batch_size=2'):
        run_config(cfg)


@pytest.mark.parametrize('change', ['two images', 'norm_eval', 'group norm', 'no pooling'])
def test_one_image_is_no_problem_otherwise(tiny_config, run_config, change):
    cfg = tiny_config('Supervised', max_iters=2, batch_size=2 if change == 'two images' else 1)
    if change != 'no pooling':
        pooling(cfg, norm_eval=change == 'norm_eval')
    if change == 'group norm':
        cfg.model.network.decode_head.norm_cfg = dict(type='GN', num_groups=2)
    assert run_config(cfg).iter == 2


def test_layers_are_watched_where_shapes_cannot_be_tried(tiny_config, run_config, monkeypatch):
    from mmseg_dg.engine.preflight import batch_norm
    monkeypatch.setattr(batch_norm, '_try_shapes', lambda *args: False)
    cfg = pooling(tiny_config('DACS', batch_size=1))
    with pytest.raises(ValueError, match=r'stream "source" \(batch_size=1\) or stream "target" \(batch_size=1\): '
                                         r'.*layer student\.decode_head\.image_pool\.1\.bn'):
        run_config(cfg)


def test_trying_shapes_changes_nothing(tiny_config):
    from mmseg_dg.engine.preflight.batch_norm import _try_shapes
    cfg = tiny_config('DACS')
    method = MODELS.build(cfg.model).train()
    before, random = {k: v.clone() for k, v in method.state_dict().items()}, torch.random.get_rng_state()
    assert _try_shapes(method.student, (3, 64, 64), 'stream')
    assert torch.equal(random, torch.random.get_rng_state())
    for key, value in method.state_dict().items():
        assert value.device.type == 'cpu'
        torch.testing.assert_close(value, before[key])


def test_a_method_without_a_teacher_takes_what_it_has_of_a_checkpoint_with_one(tiny_config):
    """The teacher's classifier, which only the checkpoint has, tells nothing of the classes here."""
    old, new = build(tiny_config, 'DACS', 4), build(tiny_config, 'Supervised', 5)
    new.new_classifier = True
    key = 'student.decode_head.conv_seg.weight'
    fresh, state = new.state_dict()[key].clone(), dict(old.state_dict())
    assert 'teacher.module.decode_head.conv_seg.weight' in state
    load_state_dict(new, state)
    torch.testing.assert_close(new.state_dict()[key], fresh)
    name = next(k for k in encoder_names(new) if k.endswith('weight'))
    torch.testing.assert_close(new.state_dict()[name], old.state_dict()[name])


def encoder_names(method):
    """Tensors of the student's encoder, which do not hang on the classes."""
    return [k for k in method.state_dict() if k.startswith('student.backbone.')]
