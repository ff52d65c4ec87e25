"""Conversion of official checkpoints: complete, strict, and without executing anything."""
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import load_checkpoint
from recorded import SMALL, load_small

from mmseg_dg.apis import load_model
from mmseg_dg.registry import MODELS
from mmseg_dg.weights.official_checkpoints import Problem, convert_file, convert_state
from mmseg_dg.weights.official_names import official_gradients

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'model_converters' / 'hrda2mmseg_dg.py'


def network(hrda=False, style=False, **head):
    """A small network of this package, as a config."""
    decoder = dict(type='DAFormerHead', in_channels=[8, 16, 40, 64], in_index=[0, 1, 2, 3], channels=8,
                   embed_channels=4, num_classes=5, fusion=dict(type='sep_aspp'), norm_cfg=dict(type='BN'), **head)
    result = dict(type='EncoderDecoder', decode_head=decoder, test_cfg=dict(mode='whole'),
                  backbone=dict(type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1, 2, 1, 1],
                                style_hallucination=dict() if style else None))
    if hrda:
        result.update(type='HRDAEncoderDecoder',
                      decode_head=dict(type='HRDAHead', head=decoder, attention_channels=6))
    return result


def official(config, seed=0):
    """A network's tensors under the official names."""
    torch.manual_seed(seed)
    model = MODELS.build(config)
    state = model.state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape))
    return model, official_gradients(state)


def training_file(path, student, teacher=None, module=''):
    state = {f'{module}model.{k}': v for k, v in student.items()}
    state.update({f'{module}ema_model.{k}': v for k, v in (teacher or {}).items()})
    state.update({f'{module}imnet_model.{k}': v for k, v in student.items()})
    meta = dict(config='model = dict()', CLASSES=('road', 'car'), PALETTE=[[0, 0, 0], [1, 1, 1]], iter=40000)
    torch.save(dict(state_dict=state, meta=meta, optimizer=dict(state={}, param_groups=[])), path)
    return path


def assert_equal(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------------- what is accepted
@pytest.mark.claim('DAFormer')
@pytest.mark.claim('HRDA')
@pytest.mark.parametrize('kind', ['daformer', 'hrda'])
@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_logits_of_an_official_checkpoint(kind, role, tmp_path):
    """A tiny official checkpoint, converted: logits of the whole image and, of HRDA, of outer windows."""
    config = SMALL / f'replay_{kind}_tiny.py'
    convert_file(SMALL / f'ckpt_{kind}_tiny.pth', tmp_path / 'ours.pth', role, config)
    record = load_small(f'ckpt_{kind}_tiny_outputs.pt')
    values, size = _network(config), tuple(record['input'].shape[-2:])
    kinds = ['student', 'student_slide'] if kind == 'hrda' and role == 'student' else [role.replace('teacher', 'ema')]
    for outputs in kinds:
        if outputs == 'student_slide':
            windows = record['slide']
            values['test_cfg'] = dict(mode='slide', crop_size=windows['crop'], stride=windows['stride'])
        model = MODELS.build(ConfigDict(values)).eval()
        model.load_state_dict(torch.load(tmp_path / 'ours.pth', weights_only=True))
        with torch.no_grad():
            logits = model.inference(record['input'], [dict(ori_shape=size, img_shape=size)])
        expected = record[f'{outputs}_logits_sampled']
        torch.testing.assert_close(logits[..., 1::3, 1::3], expected, rtol=0, atol=5e-5)
        assert torch.equal(logits.argmax(1), record[f'{outputs}_pred'].long().reshape(logits.argmax(1).shape))
        mean = record[f'{outputs}_logit_mean']
        torch.testing.assert_close(logits.mean((0, 2, 3)), mean.reshape(-1), rtol=0, atol=5e-5)


def test_official_start_weights_convert_strictly(tmp_path):
    """The start of a recorded official training, put together as its checkpoint would be."""
    student = load_small('daformer_tiny_init_student.pt')
    student = {k: {n: v.float() for n, v in part.items()} for k, part in student.items() if isinstance(part, dict)}
    imnet = load_small('daformer_tiny_init_imnet.pt')['state_dict']
    teacher = dict(student['state_dict'], **student['ema_buffers_before_iter0'])
    state = {f'{role}.{k}': v for role, part in (('model', student['state_dict']), ('ema_model', teacher),
                                                ('imnet_model', imnet)) for k, v in part.items()}
    torch.save(dict(state_dict=state, meta=dict(CLASSES=('road', ))), tmp_path / 'official.pth')
    config = SMALL / 'replay_daformer_tiny.py'
    for role in ('student', 'teacher'):
        for checked_with in (None, config):
            convert_file(tmp_path / 'official.pth', tmp_path / f'{role}.pth', role, checked_with)
        model = MODELS.build(_network(config))
        model.load_state_dict(torch.load(tmp_path / f'{role}.pth', weights_only=True))
        expected = student['state_dict'] if role == 'student' else teacher
        assert_equal(dict(sorted(official_gradients(model.state_dict()).items())), dict(sorted(expected.items())))


def _network(config):
    values = Config.fromfile(config).model.network.to_dict()
    values['backbone']['init_cfg'] = None
    return values


@pytest.mark.parametrize('hrda', [False, True])
@pytest.mark.parametrize('module', ['', 'module.'])
def test_training_checkpoints(hrda, module, tmp_path):
    model, student = official(network(hrda))
    other, teacher = official(network(hrda), seed=1)
    path = training_file(tmp_path / 'o.pth', student, teacher, module)
    notes = convert_file(path, tmp_path / 'new' / 's.pth')
    assert 'student' in notes[0]
    assert_equal(torch.load(tmp_path / 'new' / 's.pth', weights_only=True), model.state_dict())
    convert_file(path, tmp_path / 't.pth', 'teacher', Config(dict(model=dict(network=network(hrda)))))
    assert_equal(torch.load(tmp_path / 't.pth', weights_only=True), other.state_dict())
    assert sorted(p.name for p in tmp_path.iterdir()) == ['new', 'o.pth', 't.pth'], 'no partial files'


def test_prototypes_of_styles(tmp_path):
    model, student = official(network(style=True))
    state = {f'model.{k}': v for k, v in student.items()}
    assert_equal(convert_state(state).state, model.state_dict())
    plain = convert_state(state, config=Config(dict(model=network())))
    assert any('left out' in note for note in plain.notes)
    MODELS.build(network()).load_state_dict(plain.state)
    without = {k: v for k, v in state.items() if 'style' not in k}
    MODELS.build(network(style=True)).load_state_dict(
        convert_state(without, config=Config(dict(model=network(style=True)))).state)


def test_imagenet_files(tmp_path):
    _, state = official(network())
    state = {k[len('backbone.'):]: v for k, v in state.items() if k.startswith('backbone.')}
    state['head.weight'] = torch.zeros(1000, 64)
    torch.save(state, tmp_path / 'mit_b0.pth')
    notes = convert_file(tmp_path / 'mit_b0.pth', tmp_path / 'ours.pth')
    assert any('head.weight' in n for n in notes)
    backbone = MODELS.build(dict(network()['backbone'], init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'ours.pth'))))
    backbone.init_weights()
    assert torch.equal(backbone.layers[0][0].projection.weight, state['patch_embed1.proj.weight'])
    with pytest.raises(Problem, match='no teacher'):
        convert_file(tmp_path / 'mit_b0.pth', tmp_path / 'x.pth', 'teacher')


def test_methods_take_the_converted_file(tmp_path):
    model, student = official(network())
    convert_file(training_file(tmp_path / 'o.pth', student), tmp_path / 's.pth')
    for kind in ('Supervised', 'DACS', 'DomainGeneralization'):
        method = MODELS.build(dict(type=kind, network=network(), feature_distance=None))
        load_checkpoint(method, str(tmp_path / 's.pth'), map_location='cpu')
        assert_equal(dict(method.student.state_dict()), model.state_dict())


def test_prediction_takes_the_converted_file(tiny_config, tmp_path):
    cfg = tiny_config(method='DACS')
    network_cfg = cfg.model.network
    network_cfg.decode_head.fusion = dict(type='sep_aspp')
    model, student = official(network_cfg.to_dict())
    convert_file(training_file(tmp_path / 'o.pth', student), tmp_path / 's.pth')
    for evaluate in ('student', 'teacher'):  # the file fills the network that predicts
        cfg.model.evaluate = evaluate
        loaded = load_model(cfg, tmp_path / 's.pth', device='cpu')
        state = loaded.evaluated_network.state_dict()
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    torch.save({'backbone.x': torch.zeros(1)}, tmp_path / 'other.pth')
    with pytest.raises(RuntimeError, match='backbone.x'):
        load_model(cfg, tmp_path / 'other.pth')


# ---------------------------------------------------------------------- what is refused
class Hostile:

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path, )


def test_pickled_code_is_refused_and_not_run(tmp_path):
    _, student = official(network())
    state = {f'model.{k}': v for k, v in student.items()}
    for content in (dict(state_dict=state, meta=Hostile(tmp_path / 'ran')),
                    dict(state, extra=Hostile(tmp_path / 'ran'))):
        torch.save(content, tmp_path / 'bad.pth')
        with pytest.raises(Problem, match=r'bad\.pth: refused: .*might run code'):
            convert_file(tmp_path / 'bad.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'ran').exists() and not (tmp_path / 'out.pth').exists()


def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / 'text.pth').write_text('<html>not found</html>')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save(dict(state_dict={'model.a': 1}), tmp_path / 'numbers.pth')
    (tmp_path / 'empty.pth').write_bytes(b'')
    for name, message in (('text', 'refused|not a checkpoint'), ('list', 'holds list'), ('empty', 'not a checkpoint'),
                          ('numbers', r'no named tensors: model\.a'), ('absent', 'no such file')):
        with pytest.raises(Problem, match=message):
            convert_file(tmp_path / f'{name}.pth', tmp_path / 'out.pth')
    with pytest.raises(Problem, match='is the source'):
        convert_file(tmp_path / 'list.pth', tmp_path / 'list.pth')
    with pytest.raises(Problem, match='is a folder'):
        convert_file(tmp_path / 'list.pth', tmp_path)


def _student(**changes):
    _, student = official(network())
    state = {f'model.{k}': v for k, v in student.items()}
    for key, value in changes.items():
        key = key.replace('__', '.')
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize('changes, message', [
    (dict(model__backbone__norm1__weight=None), r'missing \(1\): backbone\.layers\.0\.2\.weight'),
    (dict(model__decode_head__extra=torch.zeros(1)), r'unexpected \(1\): decode_head\.extra'),
    (dict(model__backbone__norm2__bias=torch.zeros(3)),
     r'other shapes \(1\): backbone\.layers\.1\.2\.bias \(3,\) instead of \(16,\)'),
    (dict(model__backbone__weird=torch.zeros(1)), 'without a counterpart: weird'),
    (dict(model__other__part=torch.zeros(1)), r'belong to no part of a network: other\.part'),
    (dict(optimizer=torch.zeros(1)), 'unexpected keys optimizer'),
    (dict(model__decode_head__conv_seg__weight=None), r'missing: decode_head\.conv_seg\.weight'),
])
def test_incomplete_and_foreign_tensors_are_listed(changes, message):
    with pytest.raises(Problem, match=message):
        convert_state(_student(**changes))


def test_other_architectures_are_refused():
    resnet = dict(type='EncoderDecoder', test_cfg=dict(mode='whole'),
                  backbone=dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=8),
                  decode_head=dict(type='FCNHead', in_channels=32, channels=4, num_classes=5, num_convs=1))
    state = MODELS.build(resnet).state_dict()
    with pytest.raises(Problem, match='Unexpected keys: backbone.*missing: model'):
        convert_state(state)
    wrapped = {f'model.{k}': v for k, v in state.items()}
    with pytest.raises(Problem, match='no Mix Transformer.*--config'):
        convert_state(wrapped)
    with pytest.raises(Problem, match=r'(?s)does not fit the network of the config.*unexpected .*missing '):
        convert_state(wrapped, config=Config(dict(model=network())))
    assert_equal(convert_state(wrapped, config=Config(dict(model=resnet))).state, state)
    with pytest.raises(Problem, match=r'(?s)unexpected .*decode_head\.head.*missing .*decode_head\.conv_seg'):
        _, hrda = official(network(hrda=True))
        convert_state({f'model.{k}': v for k, v in hrda.items()}, config=Config(dict(model=network())))


def test_own_files_and_missing_networks():
    with pytest.raises(Problem, match="has this package's names already"):
        convert_state(MODELS.build(network()).state_dict())
    with pytest.raises(Problem, match='holds no teacher, only student'):
        convert_state(_student(), 'teacher')
    with pytest.raises(Problem, match='no config nowhere.py'):
        convert_state(_student(), config='nowhere.py')


def test_command_line(tmp_path, capsys, monkeypatch):
    _, student = official(network())
    source = training_file(tmp_path / 'o.pth', student)

    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['hrda2mmseg_dg.py', *map(str, words)])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(TOOL), run_name='__main__')
        return done.value.code, capsys.readouterr()

    code, text = call(source, tmp_path / 's.pth')
    assert code == 0 and 'is ready' in text.out and (tmp_path / 's.pth').is_file()
    code, text = call(source, tmp_path / 't.pth', '--model', 'teacher')
    assert code == 1 and 'holds no teacher' in text.err and not (tmp_path / 't.pth').exists()
