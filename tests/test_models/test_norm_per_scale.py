"""HRDA whose BatchNorm keeps running statistics for each scale."""
import copy

import pytest
import torch
from torch import nn

from mmseg_dg.apis.export.graph import InferenceGraph
from mmseg_dg.methods.teacher import EMATeacher
from mmseg_dg.models import norm_per_scale
from mmseg_dg.models.norm_per_scale import TwoStatistics, TwoStatisticsSyncBatchNorm
from mmseg_dg.models.norm_statistics import estimate_statistics
from mmseg_dg.models.segmentors import predict_logits, segmentation_losses
from mmseg_dg.ops import cut_box
from mmseg_dg.registry import MODELS

from .hrda_networks import tiny

BOX = (16, 80, 48, 112)
RESNET = dict(type='ResNetV1c', depth=50, base_channels=4, stem_channels=8, strides=(1, 2, 2, 2),
              norm_cfg=dict(type='BN'))
DECODER = dict(type='DAFormerHead', in_channels=[16, 32, 64, 128], channels=8, embed_channels=8, num_classes=5,
               dropout_ratio=0., fusion=dict(type='sep_aspp', dilations=(1, 6)), norm_cfg=dict(type='BN'))


def network(two=True, norm='BN', **kwargs):
    """ResNet and DAFormer's head, very small, both with BatchNorm; evaluation mode."""
    head = dict(type='HRDAHead', attention_channels=8, head=dict(DECODER, norm_cfg=dict(type=norm)))
    return tiny(**dict(dict(backbone=dict(RESNET, norm_cfg=dict(type=norm)), decode_head=head,
                            norm_per_scale=two), **kwargs))


def layers_of(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, TwoStatistics)}


def batch(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 128, 128, generator=generator)
    return images, torch.randint(0, 5, (count, 128, 128), generator=generator)


def statistics(layer, prefix=''):
    return [getattr(layer, prefix + name) for name in ('running_mean', 'running_var', 'num_batches_tracked')]


def test_without_it_nothing_is_there():
    plain, default = network(False), network()
    assert not layers_of(plain) and not [k for k in plain.state_dict() if 'detail_' in k]
    assert {k for k in default.state_dict() if '.detail_' not in k} == set(plain.state_dict())
    assert all('scale_attention' not in name for name in layers_of(default)), 'it sees the context only'
    names = {name.split('.')[0] for name in layers_of(default)}
    assert names == {'backbone', 'decode_head'}


def test_first_training_pass_differs_in_nothing_but_where_statistics_go():
    """In training mode each pass normalizes with its batch: the same losses and gradients."""
    images, labels = batch()
    plain, ours = network(False).train(), network().train()
    results = []
    for model in (plain, ours):
        losses = segmentation_losses(model, images, labels, crop_box=BOX)
        sum(losses.losses.values()).backward()
        results.append([float(v) for v in losses.losses.values()] + [p.grad for p in model.parameters()])
    for a, b in zip(*results):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_each_set_is_that_of_a_network_which_sees_this_scale_alone():
    """Two plain networks, one fed the context images, one the detail crops, keep the two sets."""
    ours, context, detail = network().train(), network(False).train(), network(False).train()
    for single, prefix in ((context, ''), (detail, 'detail_')):
        single.load_state_dict(one_set(ours, prefix))
    for step in range(3):
        images, labels = batch(seed=step)
        with torch.no_grad():
            segmentation_losses(ours, images, labels, crop_box=BOX)
            # the features of a plain network's context pass are those of the image at half size
            context.decode_head.logits(context._encode(context._context_image(images)))
            detail.decode_head.logits(detail._encode(cut_box(images, BOX)))
    found = layers_of(ours)
    assert found
    for name, layer in found.items():
        for prefix, single in (('', context), ('detail_', detail)):
            for mine, theirs in zip(statistics(layer, prefix), statistics(single.get_submodule(name))):
                assert torch.equal(mine, theirs), (name, prefix)
        assert not torch.equal(layer.running_mean, layer.detail_running_mean)


@pytest.mark.parametrize('output, prefix', [('LR', ''), ('HR', 'detail_')])
@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_evaluation_takes_the_set_of_the_scale(output, prefix, mode):
    test_cfg = dict(mode=mode, output=output, crop_size=(128, 128), stride=(64, 64))
    ours, plain = network(test_cfg=test_cfg), network(False, test_cfg=test_cfg)
    move_apart(ours)
    plain.load_state_dict(one_set(ours, prefix))
    images, _ = batch()
    with torch.no_grad():
        forward = 'slide_inference' if mode == 'slide' else 'encode_decode'
        a, b = (getattr(m, forward)(images, [{}, {}]) for m in (ours, plain))
        assert torch.equal(a, b)
        other = 'detail_' if not prefix else ''
        plain.load_state_dict(one_set(ours, other))
        assert not torch.equal(getattr(plain, forward)(images, [{}, {}]), a)


def move_apart(model):
    """Other statistics in the detail set than in the first."""
    generator = torch.Generator().manual_seed(7)
    for layer in layers_of(model).values():
        layer.detail_running_mean.copy_(torch.randn(layer.num_features, generator=generator) * 0.3)
        layer.detail_running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)


def one_set(model, prefix):
    """The state of a plain network with one of the sets."""
    state = {k: v for k, v in model.state_dict().items() if '.detail_' not in k}
    for name, layer in layers_of(model).items():
        for key, value in zip(('running_mean', 'running_var', 'num_batches_tracked'), statistics(layer, prefix)):
            state[f'{name}.{key}'] = value
    return state


@pytest.mark.parametrize('policy', ['batch', 'own', 'copy', 'average'])
def test_teacher_moves_the_second_set_as_the_first(policy):
    """Each policy does with either set what it does with the one set of a network that sees this scale alone."""
    student = network().train()
    singles = {prefix: network(False).train() for prefix in ('', 'detail_')}
    move_apart(student)
    for prefix, single in singles.items():
        single.load_state_dict(one_set(student, prefix))
    options = dict(beta=0.5, ramp=False, buffers=policy)
    teacher = EMATeacher(copy.deepcopy(student), **options).train()
    alone = {prefix: EMATeacher(copy.deepcopy(single), **options).train() for prefix, single in singles.items()}
    for step in range(2):
        images, labels = batch(seed=step)
        crop = cut_box(images, BOX)
        with torch.no_grad():
            segmentation_losses(student, images, labels, crop_box=BOX)
            teacher.module.pixel_views(images, crop_box=BOX)
            for network_ in (singles[''], alone[''].module):
                network_.decode_head.logits(network_._encode(network_._context_image(images)))
            for network_ in (singles['detail_'], alone['detail_'].module):
                network_.decode_head.logits(network_._encode(crop))
        teacher.update_parameters(student)
        for prefix, single in singles.items():
            alone[prefix].update_parameters(single)
    for name, layer in layers_of(teacher.module).items():
        for prefix, single in alone.items():
            for mine, theirs in zip(statistics(layer, prefix), statistics(single.module.get_submodule(name))):
                torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6, msg=f'{name} {prefix} {policy}')


def test_reestimation_collects_both_sets():
    model = network()
    images, _ = batch(4)
    assert estimate_statistics(model, images.split(2)) == 4
    first = layers_of(model)['backbone.stem.1']  # what it normalizes does not depend on other statistics
    conv = model.backbone.stem[0]
    with torch.no_grad():
        halves = [model._context_image(x) for x in images.split(2)]
        context = torch.stack([conv(x).mean((0, 2, 3)) for x in halves]).mean(0)
        windows = [torch.cat([cut_box(x, box) for box in model._detail_boxes((128, 128))]) for x in images.split(2)]
        detail = torch.stack([conv(x).mean((0, 2, 3)) for x in windows]).mean(0)
    torch.testing.assert_close(first.running_mean, context, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.detail_running_mean, detail, rtol=1e-4, atol=1e-5)
    assert first.momentum == 0.1 and int(first.detail_num_batches_tracked) == 2


def method_of(network_config):
    return MODELS.build(dict(type='DACS', network=network_config, feature_distance=None))


def config(**kwargs):
    return dict(dict(type='HRDAEncoderDecoder', hr_crop_size=(64, 64), backbone=RESNET,
                     decode_head=dict(type='HRDAHead', attention_channels=8, head=DECODER)), **kwargs)


def test_a_checkpoint_of_one_set_fills_both_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(norm_per_scale, 'print_log', lambda text, **kwargs: said.append((text, kwargs['level'])))
    plain, ours = method_of(config()), method_of(config(norm_per_scale=True))
    for layer in plain.student.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
    state = plain.state_dict()
    for target, source in ((ours, state), (ours.student, plain.student.state_dict()),
                           (ours, dict(plain.student.state_dict()))):
        move_apart(ours)
        said.clear()
        target.load_state_dict(dict(source))
        assert len(said) == 1 and 'one set of BatchNorm statistics' in said[0][0] and said[0][1] == 30
        for layer in layers_of(ours.student).values():
            assert all(torch.equal(a, b) for a, b in zip(statistics(layer), statistics(layer, 'detail_')))
    assert torch.equal(layers_of(ours.student)['backbone.stem.1'].detail_running_mean,
                       plain.student.backbone.stem[1].running_mean)


def test_a_checkpoint_of_two_sets_is_kept_and_refused_by_a_network_of_one():
    plain, ours, other = (method_of(config(norm_per_scale=on)) for on in (False, True, True))
    move_apart(ours.student)
    other.load_state_dict(ours.state_dict())
    for a, b in zip(layers_of(ours.student).values(), layers_of(other.student).values()):
        assert torch.equal(a.detail_running_mean, b.detail_running_mean)
    for target, state in ((plain, ours.state_dict()), (plain.student, ours.student.state_dict()),
                          (plain, dict(ours.student.state_dict()))):
        with pytest.raises(ValueError, match=r'detail scale .*set model.network.norm_per_scale=True'):
            target.load_state_dict(state)


def test_pretrained_weights_fill_both_sets(tmp_path):
    backbone = MODELS.build(RESNET)
    nn.init.constant_(backbone.stem[1].running_mean, 3.)
    torch.save(backbone.state_dict(), tmp_path / 'resnet.pth')
    weights = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))
    method = method_of(config(norm_per_scale=True, backbone=dict(RESNET, init_cfg=weights)))
    method.init_weights()
    assert float(method.student.backbone.stem[1].detail_running_mean[0]) == 3.
    assert float(method.teacher.module.backbone.stem[1].detail_running_mean[0]) == 3.


def test_what_has_no_batch_norm_or_would_take_the_wrong_set_is_refused():
    with pytest.raises(ValueError, match='MixTransformer has no BatchNorm'):
        tiny(norm_per_scale=True)
    with pytest.raises(ValueError, match='with_cp=False'):
        network(backbone=dict(RESNET, with_cp=True))
    lost = network()
    for name, layer in layers_of(lost).items():  # what torch's convert_sync_batchnorm does
        parent, _, last = name.rpartition('.')
        setattr(lost.get_submodule(parent), last, nn.BatchNorm2d(layer.num_features))
    with pytest.raises(RuntimeError, match='sync_bn'):
        predict_logits(lost, batch()[0])


def test_a_failed_pass_leaves_the_sets_in_their_places():
    model = network().train()
    first = layers_of(model)['backbone.stem.1']
    before = first.running_mean
    with pytest.raises(RuntimeError, match='stop'), model._detail_pass():
        assert first.running_mean is not before
        raise RuntimeError('stop')
    assert first.running_mean is before


@pytest.mark.parametrize('norm', ['BN', 'SyncBN'])
def test_the_exported_graph_has_both_sets(norm):
    model = network(norm=norm)
    move_apart(model)
    images, _ = batch()
    assert norm == 'BN' or all(isinstance(m, TwoStatisticsSyncBatchNorm) for m in layers_of(model).values())
    with torch.no_grad():
        expected = model.encode_decode(images, [{}, {}])
        graph = InferenceGraph(copy.deepcopy(model))
        assert not any(isinstance(m, nn.SyncBatchNorm) for m in graph.modules())
        torch.testing.assert_close(graph(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.ci
def test_the_written_graph_has_both_sets():
    """torch.export sees one exchange of the sets per pass."""
    model = network()
    move_apart(model)
    images, _ = batch()
    graph = InferenceGraph(model)
    with torch.no_grad():
        program = torch.export.export(graph, (images, ), strict=False)
        torch.testing.assert_close(program.module()(images), graph(images), rtol=1e-4, atol=1e-5)


def test_processes_average_both_sets(monkeypatch):
    """What several processes average before a checkpoint is running means and variances of either set."""
    from mmseg_dg.engine import distributed
    model = network()
    shared = []
    monkeypatch.setattr(distributed, 'broadcast', shared.append)
    monkeypatch.setattr(distributed, 'all_reduce', lambda tensor: None)
    wrapper = type('Wrapper', (), dict(module=model, bucket_bytes=10**6,
                                       _reduce_in_buckets=lambda self, tensors, finish: None))()
    distributed.MethodDistributedWrapper.average_buffers(wrapper)
    names = [name for name, _ in model.named_buffers() if name.rpartition('.')[2] in (
        'running_mean', 'running_var', 'detail_running_mean', 'detail_running_var')]
    assert len(shared) == len(names) and len(names) > 2 * len(layers_of(model))


@pytest.mark.ci
def test_from_training_to_a_new_estimate(tiny_config, run_config, tmp_path):
    """Training with a teacher, validation, checkpoint, and statistics estimated anew: all know both sets."""
    from mmseg_dg.apis.inference import load_model
    from mmseg_dg.apis.reestimate import reestimate_statistics
    cfg = tiny_config('DACS', max_iters=2, val_interval=2)
    head = dict(DECODER, num_classes=4, loss_decode=dict(type='CrossEntropyLoss'))
    cfg.model.network = dict(config(norm_per_scale=True, hr_crop_size=(32, 32)), train_cfg=dict(),
                             decode_head=dict(type='HRDAHead', attention_channels=8, head=head))
    cfg.test_pipeline = cfg.test_dataloader.target.dataset.pipeline
    runner = run_config(cfg)
    trained = runner.model.student.state_dict()
    checkpoint = tmp_path / 'run' / 'iter_2.pth'
    loaded = load_model(cfg, str(checkpoint), 'cpu')
    for key, value in trained.items():
        assert torch.equal(loaded.student.state_dict()[key], value.cpu()), key
    layer = layers_of(loaded.student)['backbone.stem.1']
    assert not torch.equal(layer.running_mean, layer.detail_running_mean)
    fresh = reestimate_statistics(cfg, str(checkpoint), tmp_path / 'fresh.pth', images=4, batch_size=2, device='cpu')
    new = layers_of(fresh.student)['backbone.stem.1']
    assert not torch.equal(new.detail_running_mean, layer.detail_running_mean)
    saved = torch.load(tmp_path / 'fresh.pth')['state_dict']
    assert torch.equal(saved['backbone.stem.1.detail_running_mean'], new.detail_running_mean)
