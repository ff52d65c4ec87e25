"""Feature distance to a frozen encoder in a learned projection (docs/behavior/mic.md)."""
import copy

import pytest
import torch
import torch.nn.functional as F

from mmseg_dg.registry import MODELS

from .test_dacs import batch_of, optimizer, step

ENCODER = dict(type='MixTransformer', arch='b0', embed_dims=16, num_layers=[1] * 4, num_heads=[1] * 4, init_cfg=None)
DISTANCE = dict(type='ProjectedFeatureDistance', encoder=ENCODER, in_channels=8, out_channels=16, size=32)


@pytest.fixture
def make(tiny_config):

    def build(**model):
        torch.manual_seed(0)
        return MODELS.build(tiny_config(**dict(dict(feature_distance=DISTANCE), **model)).model)

    return build


def by_hand(part, features, images):
    """The loss of one set of images, from its formula."""
    reference = part.encoder(F.interpolate(images, (32, 32), mode='bilinear'))[-1]
    first, norm, _, last = part.projection
    x = first(features)
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    x = x * norm.norm.weight.view(1, -1, 1, 1) + norm.norm.bias.view(1, -1, 1, 1)
    x = F.interpolate(last(F.gelu(x)), reference.shape[-2:], mode='bilinear')
    gap = (x - reference).abs()
    smooth = torch.where(gap < 1, 0.5 * gap**2, gap - 0.5).mean(1)
    cosine = (x * reference).sum(1) / (x.norm(dim=1) * reference.norm(dim=1))
    return 0.1 * (0.1 * smooth + 0.9 * (1 - cosine)).mean()


def test_the_loss_is_the_formula_on_source_and_target(make):
    method, batch = make(norm_eval=True), batch_of()
    for m in method.student.modules():
        if hasattr(m, 'drop_prob'):
            m.drop_prob = 0.
    method.train()
    before = copy.deepcopy(method)
    seen = []
    values = step(method, batch, on_backward=seen.append)
    assert seen == ['source', 'mix', 'feature_distance']
    for stream in ('source', 'target'):
        images = batch[stream]['inputs']
        expected = by_hand(before.projected_distance, before.student.backbone(images)[-1], images)
        torch.testing.assert_close(values[f'{stream}.loss_feature_distance'], expected.detach(), rtol=1e-5, atol=1e-7)


def test_projection_and_student_learn_and_the_encoder_does_not(make):
    method, batch = make(), batch_of()
    frozen = copy.deepcopy(method.projected_distance.encoder.state_dict())
    step(method, batch)
    assert not method.projected_distance.encoder.training and method.projected_distance.projection.training
    assert all(p.grad is None for p in method.projected_distance.encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in method.projected_distance.projection.parameters())
    assert all(torch.equal(v, frozen[k]) for k, v in method.projected_distance.encoder.state_dict().items())
    assert method.imnet is None and method.feature_distance is None
    assert not any(p is q for p in method.projected_distance.parameters() for q in method.student.parameters())


@pytest.mark.ci
def test_the_distance_falls(make):
    method, batch = make(feature_distance=dict(DISTANCE, weight=1.)), batch_of()
    wrapper, values = optimizer(method, optimizer=dict(type='AdamW', lr=3e-3)), []
    for _ in range(8):
        method.train()
        out = method.train_step(batch, wrapper, draws=method.draw_step(batch, 0), preprocess=False)
        values.append(float(out['target.loss_feature_distance']))
    assert values[-1] < 0.8 * values[0], values


def test_supervised_takes_the_source_and_names_may_be_chosen(make):
    batch = batch_of()
    assert 'target.loss_feature_distance' not in step(make(feature_distance=dict(DISTANCE, images='source')), batch)
    only = step(make(feature_distance=dict(DISTANCE, images=['target'])), batch)
    assert 'target.loss_feature_distance' in only and 'source.loss_feature_distance' not in only
    assert 'source.loss_feature_distance' in step(make(method='Supervised'), dict(source=batch['source']))


def test_restyled_copies_are_compared_with_the_images_they_come_from(make):
    part, images = make().projected_distance, torch.randn(2, 3, 64, 64)
    features = torch.randn(4, 8, 2, 2)
    both = (part(features[:2], images) + part(features[2:], images)) / 2
    torch.testing.assert_close(part(features, images), both)


def test_bf16(make):
    method = make()
    method.train()
    values = method.train_step(batch_of(), optimizer(method, type='BF16OptimWrapper'), preprocess=False)
    assert all(torch.isfinite(v) for v in values.values())


@pytest.mark.parametrize('more, match', [
    (dict(weight=0), 'feature_distance=None'), (dict(images=('mix', )), 'images of ProjectedFeatureDistance'),
    (dict(l1_weight=0, cosine_weight=0), 'nor both'),
])
def test_bad_arguments(make, more, match):
    with pytest.raises(ValueError, match=match):
        make(feature_distance=dict(DISTANCE, **more))


def test_wrong_channels_and_a_random_encoder_are_refused(make):
    with pytest.raises(ValueError, match='student gives 8 channels and the frozen encoder 16, but in_channels=4'):
        step(make(feature_distance=dict(DISTANCE, in_channels=4)), batch_of())
    with pytest.raises(ValueError, match='encoder MixTransformer starts from random weights'):
        make().before_training()
