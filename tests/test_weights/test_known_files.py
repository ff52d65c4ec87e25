"""Pretrained weights: missing files, files that do not fit, conversion, and the table of known files."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from torch import nn

from mmseg_dg.registry import MODELS
from mmseg_dg.weights import files as weights
from mmseg_dg.weights import preparation as weight_conversion
from mmseg_dg.weights.download import may_be_fetched

ROOT = Path(__file__).resolve().parents[2]


class Part(BaseModule):
    """Two layers, four tensors besides the batch counter of the norm."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)


class Whole(BaseModule):

    def __init__(self, init_cfg=None):
        super().__init__()
        self.backbone = Part(init_cfg)
        self.head = nn.Conv2d(4, 2, 1)


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(weights, 'print_log', lambda text, logger=None, level=None: lines.append(text))
    return lines


def pretrained(path, **more):
    return dict(type='Pretrained', checkpoint=str(path), **more)


def test_config_with_a_missing_known_file_names_path_and_command():
    model = ConfigDict(type='DACS', network=dict(backbone=dict(init_cfg=pretrained('pretrained/mit_b5.pth'))))
    with pytest.raises(FileNotFoundError) as error:
        weights.check_pretrained(model)
    text = str(error.value)
    assert 'model.network.backbone.init_cfg' in text and 'pretrained/mit_b5.pth' in text
    assert 'mim run mmseg_dg prepare_weights mit_b5' in text and 'python tools/prepare_weights.py mit_b5' in text
    assert 'init_cfg=None' in text


def test_missing_file_of_the_users_own():
    with pytest.raises(FileNotFoundError, match='Put the file there, or correct the path'):
        weights.check_pretrained(dict(backbone=dict(init_cfg=pretrained('mine/encoder.pth'))))


@pytest.mark.parametrize('entry', [
    dict(init_cfg=pretrained('https://example.invalid/x.pth')), dict(pretrained='open-mmlab://resnet50_v1c'),
    dict(init_cfg=[dict(type='Normal'), pretrained('torchvision://resnet50')])])
def test_urls_are_refused(entry):
    with pytest.raises(ValueError, match='Weights are local files here'):
        weights.check_pretrained(Config(dict(model=dict(backbone=entry))))


def test_config_returns_what_it_found(tmp_path):
    path = tmp_path / 'x.pth'
    path.touch()
    assert weights.check_pretrained(dict(a=[dict(init_cfg=pretrained(path))])) == {'model.a.0.init_cfg': str(path)}
    assert weights.check_pretrained(dict(a=dict(init_cfg=None))) == {}


def test_share_of_a_fitting_file_is_logged(tmp_path, logged):
    path = tmp_path / 'part.pth'
    state = {k: v for k, v in Part().state_dict().items() if not k.endswith('num_batches_tracked')}  # an older file
    torch.save(dict(state_dict={**state, 'fc.weight': torch.zeros(1)}), path)
    shares = weights.check_pretrained(Whole(pretrained(path)))
    assert list(shares) == ['backbone']
    assert shares['backbone'][:3] == (5, 5, []) and shares['backbone'].unexpected == ['fc.weight']
    assert logged == [f'backbone: 5 of 5 tensors (100.0 %) from {path}; not used: fc.weight']


def test_file_that_does_not_fit_stops_the_run(tmp_path, logged):
    path = tmp_path / 'other.pth'
    torch.save({'conv.weight': torch.zeros(4, 3, 3, 3), 'norm.weight': torch.zeros(4)}, path)
    with pytest.raises(ValueError) as error:
        weights.check_pretrained(Whole(pretrained(path)))
    assert 'only 1 of 5 tensors' in str(error.value) and 'conv.weight' in str(error.value)


def test_prefix_of_init_cfg_is_respected(tmp_path, logged):
    path = tmp_path / 'network.pth'
    torch.save({f'module.backbone.{k}': v for k, v in Part().state_dict().items()}, path)
    assert weights.check_pretrained(Whole(pretrained(path, prefix='backbone.')))['backbone'].share == 1
    assert weights.loaded_share(Part(), path, prefix='backbone').matched == 5
    assert weights.loaded_share(Part(), path).matched == 0


def test_init_weights_really_loads_what_the_share_counts(tmp_path, logged):
    path = tmp_path / 'part.pth'
    source = Part()
    torch.save(source.state_dict(), path)
    model = Whole(pretrained(path))
    weights.check_pretrained(model)
    model.init_weights()
    assert torch.equal(model.backbone.conv.weight, source.conv.weight)


def test_table_is_complete_and_consistent():
    table = weights.weights_table()
    assert {'mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5', 'resnet50', 'resnet101', 'resnet50_v1c',
            'resnet101_v1c', 'r50_vit_b16', 'mobilenet_v2'} <= set(table)
    assert len({entry['file'] for entry in table.values()}) == len(table)
    for name, entry in table.items():
        assert set(entry) - {'url'} == {'file', 'layout', 'sha256', 'source', 'candidates', 'backbone'}, name
        assert 'url' not in entry or may_be_fetched(entry) and entry['url'].startswith('https://'), name
        assert entry['file'].startswith('pretrained/') and weights.entry_of(entry['file']) == name
        assert all(re.fullmatch('[0-9a-f]{8}|[0-9a-f]{64}', digits) for digits in entry['sha256'] or [])


def test_configs_name_only_known_local_files():
    known = {entry['file'] for entry in weights.weights_table().values()}
    texts = {path: path.read_text(encoding='utf-8') for path in (ROOT / 'configs').rglob('*.py')
             if path.name != 'weights.py'}
    for path, text in texts.items():
        assert set(re.findall(r'pretrained/[\w.+-]+', text)) <= known, path
        assert not re.search(r'checkpoint=[\'"](https?|torchvision|open-mmlab|mmcls)://', text), path


def official(state):
    """mmseg's names of a MixTransformer to the official ones."""
    from mmseg_dg.weights.official_names import official_gradients
    return {k.removeprefix('backbone.'): v for k, v in official_gradients(
        {f'backbone.{k}': v for k, v in state.items()}).items()}


@pytest.fixture
def mit_b0():
    torch.manual_seed(0)
    return MODELS.build(dict(type='MixTransformer', arch='b0', init_cfg=None))


def test_official_mix_transformer_is_converted_in_place(tmp_path, mit_b0, logged):
    path = tmp_path / 'mit_b0.pth'
    torch.save(dict(official(mit_b0.state_dict()), **{'head.weight': torch.zeros(2, 256)}), path)
    assert dict((row[0], row[1]) for row in weight_conversion.table_rows(tmp_path))['mit_b0'] == 'to convert'
    lines = weight_conversion.prepare('mit_b0', tmp_path)
    assert 'is ready' in lines[-1] and (tmp_path / 'mit_b0_fetched.pth').is_file()
    state = torch.load(path, weights_only=True)
    assert all(torch.equal(state[k], v) for k, v in mit_b0.state_dict().items())
    assert weights.loaded_share(mit_b0, path).share == 1
    assert weight_conversion.prepare('mit_b0', tmp_path) == [f'{path} is ready']
    assert dict((row[0], row[1]) for row in weight_conversion.table_rows(tmp_path))['mit_b0'] == 'ready'


def test_mmseg_layout_inside_a_checkpoint_is_unwrapped(tmp_path, mit_b0):
    source = tmp_path / 'mit_b0_20220624-7e0fe6dd.pth'
    torch.save(dict(meta={}, state_dict={f'backbone.{k}': v for k, v in mit_b0.state_dict().items()}), source)
    lines = weight_conversion.prepare('mit_b0', tmp_path)
    assert 'the file name says 7e0fe6dd' in lines[0]  # a damaged or renamed file is reported; its tensors are checked
    assert set(torch.load(tmp_path / 'mit_b0.pth', weights_only=True)) == set(mit_b0.state_dict())
    assert not list(tmp_path.glob('.*'))  # written under a temporary name and renamed


@pytest.mark.parametrize('spelling', ['three convolutions', 'one sequence'])
def test_deep_stems_are_renamed(spelling, tmp_path):
    torch.manual_seed(0)
    network = MODELS.build(dict(type='ResNetV1c', depth=50, stem_channels=128, init_cfg=None))
    if spelling == 'three convolutions':
        theirs = {0: 'conv1', 1: 'bn1', 3: 'conv2', 4: 'bn2', 6: 'conv3', 7: 'bn3'}
    else:
        theirs = {0: 'conv1.0', 1: 'conv1.1', 3: 'conv1.3', 4: 'conv1.4', 6: 'conv1.6', 7: 'bn1'}
    state = {re.sub(r'^stem\.(\d)', lambda m: theirs[int(m.group(1))], k): v for k, v in network.state_dict().items()}
    torch.save(dict(state, **{'fc.weight': torch.zeros(2, 2048)}), tmp_path / 'fetched.pth')
    weight_conversion.prepare('resnet50_deepstem', tmp_path, tmp_path / 'fetched.pth')
    made = torch.load(tmp_path / 'resnet50_deepstem.pth', weights_only=True)
    assert set(made) == set(network.state_dict())
    assert all(torch.equal(made[k], v) for k, v in network.state_dict().items())


def test_wrong_architecture_is_refused(tmp_path, mit_b0):
    source = tmp_path / 'wrong.pth'
    torch.save(official(mit_b0.state_dict()), source)
    with pytest.raises(weight_conversion.Problem, match='missing or have another shape'):
        weight_conversion.prepare('mit_b1', tmp_path, source)
    assert not (tmp_path / 'mit_b1.pth').exists()


def test_resnet_with_an_unknown_checksum_needs_consent(tmp_path):
    net = MODELS.build(dict(type='ResNet', depth=50, init_cfg=None))
    state = {k: v for k, v in net.state_dict().items() if not k.endswith('num_batches_tracked')}
    torch.save(dict(state, **{'fc.weight': torch.zeros(1), 'fc.bias': torch.zeros(1)}), tmp_path / 'resnet50-x.pth')
    with pytest.raises(weight_conversion.Problem, match='--accept-checksum'):
        weight_conversion.prepare('resnet50', tmp_path)
    weight_conversion.prepare('resnet50', tmp_path, accept_checksum=True)
    assert weights.loaded_share(net, tmp_path / 'resnet50.pth').share == 1
    with pytest.raises(weight_conversion.Problem, match='stem'):  # a plain stem is no deep stem
        weight_conversion.prepare('resnet50_v1c', tmp_path, tmp_path / 'resnet50-x.pth')


@pytest.mark.parametrize('name, message', [('mit_b7', 'known are mit_b0'), ('mit_b3', 'Fetch it: OpenMMLab')])
def test_unknown_name_and_missing_file(tmp_path, name, message):
    with pytest.raises(weight_conversion.Problem, match=message):
        weight_conversion.prepare(name, tmp_path)


def test_tool_lists_and_fails(tmp_path):
    tool = [sys.executable, str(ROOT / 'tools' / 'prepare_weights.py'), '--folder', str(tmp_path)]
    done = subprocess.run([*tool, 'mit_b5'], capture_output=True, text=True)
    assert done.returncode == 1 and 'mit_b5: no file at' in done.stderr


def test_development_weights_convert(shared, tmp_path):
    source = shared / 'weights' / 'mobilenet_v2_mmcv.pth'
    weight_conversion.prepare('mobilenet_v2', tmp_path, source)
    net = MODELS.build(dict(type='MobileNetV2', init_cfg=None))
    assert weights.loaded_share(net, tmp_path / 'mobilenet_v2.pth').share == 1


def test_surplus_that_was_named_is_not_called_a_mismatch(tmp_path, logged, monkeypatch):
    """The classifier of an ImageNet network: mmengine says of it that the two "do not match exactly"."""
    monkeypatch.setattr('mmengine.runner.checkpoint.print_log', lambda text, **kwargs: logged.append(str(text)))
    config = dict(type='MobileNetV2', widen_factor=0.25)
    state = dict(MODELS.build(config).state_dict(), **{'head.fc.weight': torch.zeros(3, 4)})
    torch.save(state, tmp_path / 'imagenet.pth')
    encoder = MODELS.build(dict(config, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'imagenet.pth'))))
    shares = weights.check_pretrained(encoder)
    with weights.passing_over_surplus(encoder, shares):
        encoder.init_weights()
    said = '\n'.join(map(str, logged))
    assert 'not used: head.fc.weight' in said and 'do not match exactly' not in said
    assert not encoder._load_state_dict_pre_hooks, 'only while the file is read'
    torch.testing.assert_close(encoder.state_dict()['conv1.conv.weight'], state['conv1.conv.weight'])
    encoder._is_init = False
    encoder.init_weights()
    assert 'do not match exactly' in '\n'.join(map(str, logged)), 'without it mmengine does say so'
