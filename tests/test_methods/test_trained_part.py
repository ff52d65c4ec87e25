"""Checkpoints of the trained part: what is left out, where it comes back from, and what is said when it cannot."""
import copy
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_dg.methods.trained_part import RECORD, _find, check_recordable, leave_frozen_out, restore_frozen
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.checkpoint_reader import CheckpointError
from mmseg_dg.weights.files import sha256_of
from mmseg_dg.weights.segmentor_export import export_segmentor
from mmseg_dg.weights.shipped import shipped_file

LORA = dict(trainable='adapters', lora=dict(rank=2, start='minor'))


def config(file, **backbone):
    network = dict(
        type='EncoderDecoder',
        backbone=dict(type='PlainViT', arch=dict(embed_dims=8, num_layers=2, num_heads=2), pos_grid=2,
                      out_indices=[-1], init_cfg=dict(type='Pretrained', checkpoint=str(file)), **backbone),
        decode_head=dict(type='TokenLinearHead', in_channels=8, num_classes=3,
                         loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False)),
        train_cfg=dict(), test_cfg=dict(mode='whole'))
    return dict(type='DACS', network=network)


@pytest.fixture
def file(tmp_path):
    init_default_scope('mmseg_dg')
    torch.manual_seed(0)
    encoder = MODELS.build(dict(config('x')['network']['backbone'], init_cfg=None))
    encoder.init_weights()
    torch.save(encoder.state_dict(), tmp_path / 'encoder.pth')
    return tmp_path / 'encoder.pth'


def trained(file, **backbone):
    """A method whose trained part has moved, and its teacher's with other values."""
    torch.manual_seed(1)
    method = MODELS.build(config(file, **backbone))
    method.init_weights()
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter += parameter.requires_grad * torch.randn_like(parameter)
        for _, average in method.ema_pairs().values():
            average.update_parameters(method.student)
            average.module.decode_head.conv_seg.weight += 1
    return method


@pytest.mark.parametrize('backbone', [dict(trainable='none'), LORA])
def test_what_is_frozen_is_left_out_and_comes_back(file, backbone):
    method = trained(file, **backbone)
    whole = copy.deepcopy(dict(method.state_dict()))
    state = dict(method.state_dict())
    count = leave_frozen_out(method, state)
    frozen = method.student.backbone.frozen_names()
    assert count == 2 * len(frozen) and not any(f'student.backbone.{name}' in state for name in frozen)
    assert not any(f'teacher.module.backbone.{name}' in state for name in frozen)
    assert 'student.decode_head.conv_seg.weight' in state
    torch.manual_seed(2)
    other = MODELS.build(config(file, **backbone))  # as for a test or a resume: weights not initialized
    numbers = torch.get_rng_state()
    other.load_state_dict(state)
    assert torch.equal(torch.get_rng_state(), numbers), 'a resumed run draws as if nothing had been read'
    assert other.state_dict().keys() == whole.keys()
    assert all(torch.equal(value, whole[key]) for key, value in other.state_dict().items())
    other.load_state_dict(whole)  # and whole checkpoints load as ever


def test_the_file_is_named_when_it_is_not_there_or_another(file, tmp_path, monkeypatch):
    method = trained(file, trainable='none')
    state = dict(method.state_dict())
    leave_frozen_out(method, state)
    content = file.read_bytes()
    other = torch.load(file)
    other['norm.bias'] += 1
    torch.save(other, file)
    with pytest.raises(CheckpointError, match='frozen part of backbone is in .*encoder.pth with SHA-256 '
                       '[0-9a-f]{64}; .*encoder.pth has [0-9a-f]{64}, another file. Put that file there'):
        MODELS.build(config(file, trainable='none')).load_state_dict(dict(state))
    file.unlink()
    with pytest.raises(CheckpointError, match='which is not there'):
        MODELS.build(config(file, trainable='none')).load_state_dict(dict(state))
    (tmp_path / 'elsewhere.pth').write_bytes(content)  # the config's place counts first
    moved = MODELS.build(config(tmp_path / 'elsewhere.pth', trainable='none'))
    moved.load_state_dict(dict(state))
    assert torch.equal(moved.student.backbone.norm.bias, method.student.backbone.norm.bias)
    with pytest.raises(CheckpointError, match='frozen encoder backbone, which the config has not'):
        MODELS.build(config(tmp_path / 'elsewhere.pth')).load_state_dict(dict(state))


def test_the_file_that_was_read_is_recorded(file):
    """Another file in its place, or none, while the run goes on: checkpoints name the one that was read."""
    method, digest, content = trained(file, trainable='none'), sha256_of(file), file.read_bytes()
    check_recordable(method)
    other = torch.load(file)
    other['norm.bias'] += 1
    torch.save(other, file)
    states = []
    for _ in range(2):
        states.append(dict(method.state_dict()))
        leave_frozen_out(method, states[-1])
        file.unlink(missing_ok=True)
    records = [json.loads(bytes(state[f'student.backbone.{RECORD}'].tolist())) for state in states]
    assert [record['sha256'] for record in records] == [digest] * 2
    torch.save(other, file)
    with pytest.raises(CheckpointError, match=f'SHA-256 {digest}; .*another file'):
        MODELS.build(config(file, trainable='none')).load_state_dict(dict(states[0]))
    file.write_bytes(content)
    back = MODELS.build(config(file, trainable='none'))
    back.load_state_dict(states[1])
    assert torch.equal(back.student.backbone.norm.bias, method.student.backbone.norm.bias)


def test_the_encoder_of_a_projected_distance_is_left_out_too(file, tmp_path):
    """VFM-UDA++: the student is tuned, the encoder it is compared with is frozen."""
    (tmp_path / 'reference.pth').write_bytes(file.read_bytes())
    cfg = config(file)
    encoder = copy.deepcopy(cfg['network']['backbone'])
    encoder['init_cfg']['checkpoint'] = str(tmp_path / 'reference.pth')
    cfg['feature_distance'] = dict(type='ProjectedFeatureDistance', encoder=encoder, in_channels=8, out_channels=8)
    method = MODELS.build(cfg)
    method.init_weights()
    check_recordable(method)
    whole, state = copy.deepcopy(dict(method.state_dict())), dict(method.state_dict())
    names = method.projected_distance.encoder.state_dict()
    assert leave_frozen_out(method, state) == len(names)
    assert not any(f'projected_distance.encoder.{name}' in state for name in names)
    assert 'student.backbone.norm.bias' in state and 'projected_distance.projection.0.weight' in state
    other = MODELS.build(cfg)
    other.load_state_dict(dict(state))
    assert all(torch.equal(value, whole[key]) for key, value in other.state_dict().items())
    (tmp_path / 'reference.pth').write_bytes(b'another')
    with pytest.raises(CheckpointError, match='projected_distance.encoder is in .*reference.pth'):
        MODELS.build(cfg).load_state_dict(dict(state))
    (tmp_path / 'reference.pth').unlink()  # a test, which does not use it, goes without
    other = MODELS.build(cfg)
    other.load_state_dict(dict(state))
    assert all(torch.equal(value, whole[key]) for key, value in other.student.state_dict(prefix='student.').items())
    plain = {key: value for key, value in cfg.items() if key != 'feature_distance'}
    left = dict(state)
    restore_frozen(MODELS.build(plain), left)
    assert not any(key.endswith('frozen_file') for key in left)
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'iter_1.pth')
    run = Config(dict(default_scope='mmseg_dg', model=cfg))
    export = export_segmentor(tmp_path / 'iter_1.pth', tmp_path / 'out.pth', run)  # no network has that encoder
    assert export.tensors == len(method.student.state_dict())


def test_refused_before_training(file):
    with pytest.raises(ValueError, match="no encoder is frozen: set trainable='none'"):
        check_recordable(MODELS.build(config(file)))
    cfg = config(file, trainable='none')
    cfg['network']['backbone']['init_cfg'] = None
    with pytest.raises(ValueError, match="frozen encoder backbone \\(PlainViT\\) started from no weight file"):
        check_recordable(MODELS.build(cfg))
    method = trained(file, trainable='none')
    check_recordable(method)
    check_recordable(trained(file, **LORA))
    with torch.no_grad():
        method.student.backbone.norm.bias += 1  # as load_from may
    with pytest.raises(ValueError, match=r"1 frozen tensors of backbone \(norm.bias, ...\) are not those of .*pth"):
        check_recordable(method)
    state = {'student.x': torch.zeros(1)}
    restore_frozen(MODELS.build(config(file)), state)
    assert list(state) == ['student.x']


def test_exported_from_the_trained_part_with_merged_adapters(file, tmp_path):
    method = trained(file, **LORA).eval()
    state = dict(method.state_dict())
    leave_frozen_out(method, state)
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'iter_1.pth')
    cfg = Config(dict(default_scope='mmseg_dg', model=config(file, **LORA)))
    export = export_segmentor(tmp_path / 'iter_1.pth', tmp_path / 'out.pth', cfg, network='student')
    written = Config.fromfile(export.config)
    assert not {'trainable', 'lora', 'init_cfg'} & set(written.model.backbone) and 'PlainViT' in export.own_parts
    plain = MODELS.build({k: v for k, v in written.model.items() if k != 'data_preprocessor'}).eval()
    plain.load_state_dict(torch.load(export.checkpoint)['state_dict'])
    x = torch.randn(1, 3, 28, 42)
    expected = method.student.decode_head(method.student.extract_feat(x))
    assert torch.allclose(plain.decode_head(plain.extract_feat(x)), expected, atol=1e-5)


def test_export_looks_at_the_place_that_the_config_says(file, tmp_path):
    method = trained(file, trainable='none')
    state = dict(method.state_dict())
    leave_frozen_out(method, state)
    torch.save(dict(state_dict=state, meta={}), tmp_path / 'iter_1.pth')
    file.rename(tmp_path / 'moved.pth')
    cfg = Config(dict(default_scope='mmseg_dg', model=config(tmp_path / 'moved.pth', trainable='none')))
    export = export_segmentor(tmp_path / 'iter_1.pth', tmp_path / 'out.pth', cfg, network='student')
    written = torch.load(export.checkpoint)['state_dict']
    assert torch.equal(written['backbone.norm.bias'], method.student.backbone.norm.bias)
    cfg.model.network.backbone.init_cfg.checkpoint = str(file)
    with pytest.raises(CheckpointError, match='which is not there'):
        export_segmentor(tmp_path / 'iter_1.pth', tmp_path / 'out.pth', cfg)


def test_weights_of_the_package_are_recorded_and_found(file):
    address = 'mmseg_dg://city_day_mobilenetv2'
    method = trained(file, trainable='none')
    method.student.backbone.init_cfg['checkpoint'] = address
    state = dict(method.state_dict())
    assert leave_frozen_out(method, state)
    record, = [json.loads(bytes(value.tolist())) for key, value in state.items() if key.endswith(RECORD)]
    assert record['file'] == address and record['sha256'] == sha256_of(shipped_file(address))
    assert _find('backbone', record, (address, None)) == address
