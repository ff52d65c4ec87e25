"""DACS: draws, passes, and what each argument does."""
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods import StepDraws, SupervisedDraws
from mmseg_dg.methods.finite import NonFiniteError
from mmseg_dg.methods.step import StepContext
from mmseg_dg.registry import MODELS


@pytest.fixture
def make(tiny_config):

    def build(**model):
        torch.manual_seed(0)
        return MODELS.build(tiny_config(**model).model)

    return build


def batch_of(size=64, labeled=True, seed=0, classes=4, count=2):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count, 1, size // 8, size // 8), generator=g)
    labels = labels.repeat_interleave(8, 2).repeat_interleave(8, 3)
    source = [SegDataSample(gt_sem_seg=PixelData(data=x)) if labeled else SegDataSample() for x in labels]
    return dict(source=dict(inputs=torch.randn(count, 3, size, size, generator=g), data_samples=source),
                target=dict(inputs=torch.randn(count, 3, size, size, generator=g),
                            data_samples=[SegDataSample() for _ in range(count)]))


def optimizer(method, **kwargs):
    cfg = dict(dict(optimizer=dict(type='SGD', lr=0.1)), **kwargs)
    return MergedParamGroups(cfg, None)(method)


def step(method, batch, draws=None, iteration=0, **kwargs):
    method.train()
    return method.train_step(batch, optimizer(method), draws=draws, context=StepContext(0, 0, iteration),
                             preprocess=False, **kwargs)


def test_draws_are_reproducible_and_complete(make):
    method, batch = make(), batch_of()
    drawn = [method.draw_step(batch, seed) for seed in range(60)]
    again = method.draw_step(batch, torch.Generator().manual_seed(3))
    assert isinstance(again, StepDraws)
    assert repr(drawn[5]) == repr(method.draw_step(batch, 5))
    jitter, blur = sum(d.jitter for d in drawn) / 60, sum(d.blur for d in drawn) / 60
    assert 0.6 < jitter < 0.95, 'jitter is applied with probability 1 - 0.2'
    assert 0.3 < blur < 0.7
    for d in drawn:
        assert len(d.jitter_params) == (2 if d.jitter else 0) and len(d.sigma) == (2 if d.blur else 0)
        assert all(0.15 <= s <= 1.15 for s in d.sigma)
        assert [len(c) for c in d.mix_classes] == [2, 2]  # half of the four classes, for each image
        assert d.crop_box_source is None and d.crop_box_mix is None


def test_passes_in_order_and_one_optimizer_step(make):
    method, batch = make(), batch_of()
    names = [p.name for p in method.passes(batch, method.draw_step(batch, 0))]
    assert names == ['source', 'pseudo_labels', 'mix']
    before = method.student.decode_head.conv_seg.weight.detach().clone()
    seen = []
    values = step(method, batch, on_backward=seen.append)
    assert seen == ['source', 'mix']
    assert not torch.equal(before, method.student.decode_head.conv_seg.weight)
    assert {'loss', 'source.decode.loss_ce', 'mix.decode.loss_ce', 'target.pseudo_label_share'} <= set(values)
    total = float(values['source.decode.loss_ce'] + values['mix.decode.loss_ce'])
    assert float(values['loss']) == pytest.approx(total)


def test_log_names_begin_with_the_stream(make):
    batch = dict(zip(('labeled', 'unlabeled'), batch_of().values()))
    method = make(labeled_stream='labeled', unlabeled_stream='unlabeled')
    assert [p.name for p in method.passes(batch, method.draw_step(batch, 0))] == ['labeled', 'pseudo_labels', 'mix']
    values = step(method, batch)
    assert {'labeled.decode.loss_ce', 'unlabeled.pseudo_label_share'} <= set(values)
    assert not any(name.startswith(('source', 'target')) for name in values)
    method = make(method='Supervised', stream='labeled', feature_distance=dict(classes=[0]))
    assert {'labeled.decode.loss_ce', 'labeled.loss_feature_distance'} <= set(
        step(method, dict(labeled=batch['labeled'])))


def test_step_is_a_function_of_its_context(make):
    results = []
    for _ in range(2):
        torch.manual_seed(123 + len(results))  # the caller's random state must not matter
        method = make()
        torch.rand(len(results) * 7)
        results.append((step(method, batch_of(), iteration=4), method.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(a, b) for a, b in zip(results[0][1].values(), results[1][1].values()))


def test_state_is_cleared_and_record_kept_on_request(make):
    method, batch = make(), batch_of()
    step(method, batch)
    assert method.recorder.record is None
    method.recorder.request('test')
    step(method, batch)
    kept = set(method.recorder.record.state.left())
    assert {'pseudo_label', 'pseudo_weight', 'mixed_image', 'mixed_label', 'mixed_weight', 'mix_mask'} <= kept


def test_mixed_batch_is_source_inside_and_target_outside(make):
    method, batch = make(), batch_of()
    draws = StepDraws(mix_classes=[torch.tensor([0, 2]), torch.tensor([9])])
    pseudo, weight = torch.full((2, 64, 64), 3), torch.full((2, 64, 64), 0.25)
    images, labels, weights, masks = method.mix_batch(batch, draws, pseudo, weight)
    truth = torch.stack([s.gt_sem_seg.data[0] for s in batch['source']['data_samples']])
    assert torch.equal(masks[0], (truth[0] == 0) | (truth[0] == 2)) and not masks[1].any()
    inside = masks[0]
    assert torch.equal(images[0][:, inside], batch['source']['inputs'][0][:, inside])
    assert torch.equal(images[0][:, ~inside], batch['target']['inputs'][0][:, ~inside])
    assert torch.equal(labels[0][inside], truth[0][inside]) and (labels[0][~inside] == 3).all()
    assert (weights[0][inside] == 1).all() and (weights[0][~inside] == 0.25).all() and (weights[1] == 0.25).all()


def test_ignore_bands_and_valid_mask_switch_pseudo_labels_off(make):
    batch = batch_of()
    method = make(ignore_top=5, ignore_bottom=10, pseudo_threshold=0.0)
    method.recorder.request('test')
    step(method, batch)
    weight = method.recorder.record.state.pseudo_weight
    assert (weight[:, :5] == 0).all() and (weight[:, -10:] == 0).all() and (weight[:, 5:-10] == 1).all()
    method = make(use_valid_mask=True, pseudo_threshold=0.0)
    with pytest.raises(ValueError, match='PseudoLabelMargins'):
        step(method, batch)
    for sample in batch['target']['data_samples']:
        mask = torch.ones(1, 64, 64, dtype=torch.uint8)
        mask[:, :, :7] = 0
        sample.valid_pseudo_mask = PixelData(data=mask)
    method.recorder.request('test')
    step(method, batch)
    weight = method.recorder.record.state.pseudo_weight
    assert (weight[..., :7] == 0).all() and (weight[..., 7:] == 1).all()


def test_teacher_labels_and_never_learns(make):
    method, batch = make(), batch_of()
    before = {k: v.clone() for k, v in method.teacher.module.named_parameters()}
    step(method, batch)
    assert all(torch.equal(before[k], v) for k, v in method.teacher.module.named_parameters())
    assert all(p.grad is None for p in method.teacher.parameters())
    assert int(method.teacher.module.decode_head.fuse_layer.bottleneck.bn.num_batches_tracked) == 1


@pytest.mark.parametrize('shared', [True, False])
def test_feature_distance_pulls_toward_the_copy(make, shared):
    """With nothing but the distance to learn from, the student's features approach those of the copy."""
    distance = dict(weight=1.0, classes=[0, 1, 2, 3], min_ratio=0.1)
    method, batch = make(feature_distance=distance, shared_backward=shared), batch_of()
    torch.manual_seed(1)
    for parameter in method.imnet.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    method.student.decode_head.loss_decode.loss_weight = 0.0
    wrapper, seen, values = optimizer(method, optimizer=dict(type='AdamW', lr=1e-3)), [], []
    for iteration in range(8):
        method.train()
        out = method.train_step(batch, wrapper, draws=method.draw_step(batch, 0), preprocess=False,
                                context=StepContext(0, 0, iteration), on_backward=seen.append)
        values.append(float(out['source.loss_feature_distance']))
    assert values[-1] < 0.9 * values[0], values
    assert set(seen) == ({'source', 'mix'} if shared else {'source', 'feature_distance', 'mix'})
    assert all(not p.requires_grad and p.grad is None for p in method.imnet.parameters())
    assert not method.imnet.training


def test_joint_and_separate_backward_agree(make):
    states = []
    for shared in (True, False):
        distance = dict(weight=1.0, classes=[0, 1], min_ratio=0.1)
        method = make(feature_distance=distance, shared_backward=shared).double()
        for parameter in method.imnet.parameters():
            parameter.data.add_(0.1)
        batch = batch_of()
        for stream in batch.values():
            stream['inputs'] = stream['inputs'].double()
        step(method, batch)
        states.append(method.student.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-9, atol=1e-11, msg=name)


def test_no_thing_in_the_batch_gives_a_zero_loss_with_a_graph(make):
    method, batch = make(feature_distance=dict(weight=1.0, classes=[11], min_ratio=0.75)), batch_of()
    values = step(method, batch)
    assert float(values['source.loss_feature_distance']) == 0.0
    assert all(torch.isfinite(p.grad).all() for p in method.student.parameters() if p.grad is not None)


def test_random_encoder_is_refused_for_the_feature_distance(make):
    with pytest.raises(ValueError, match='random weights'):
        make(feature_distance=dict(weight=0.005)).before_training()


def test_accumulation_equals_the_mean_of_its_parts(make):
    batches = [batch_of(seed=s) for s in (0, 1)]
    draws = [StepDraws(mix_classes=[torch.tensor([0]), torch.tensor([1])])] * 2

    def gradient(data, given):
        method = make(norm_eval=True)
        method.student.backbone.apply(lambda m: setattr(m, 'drop_prob', 0.0) if hasattr(m, 'drop_prob') else None)
        method.student.decode_head.dropout.p = 0.0
        step(method, data, draws=given)
        return method.student.decode_head.conv_seg.weight.grad.clone()

    both = gradient(batches, draws)
    parts = [gradient(b, d) for b, d in zip(batches, draws)]
    torch.testing.assert_close(both, (parts[0] + parts[1]) / 2, rtol=1e-4, atol=1e-7)


def test_mixed_precision_trains_in_bfloat16(make):
    method, batch = make(), batch_of()
    method.train()
    dtypes = []
    method.student.decode_head.conv_seg.register_forward_hook(lambda m, i, o: dtypes.append(o.dtype))
    values = method.train_step(batch, optimizer(method, type='BF16OptimWrapper'), preprocess=False)
    assert set(dtypes) == {torch.bfloat16} and torch.isfinite(values['loss'])
    assert method.student.decode_head.conv_seg.weight.grad.dtype == torch.float32


class ScaledWrapper(OptimWrapper):
    """fp16's loss scaling without fp16 (mmengine's wrapper refuses CPU)."""

    def __init__(self, scaler, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = scaler

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()


@pytest.mark.parametrize('static', [False, True])
def test_skipped_optimizer_step_is_noticed(make, static):
    method, batch = make(), batch_of()
    still = dict(growth_interval=10**6, backoff_factor=1.0 - 1e-12) if static else {}
    scaler = torch.amp.GradScaler('cpu', init_scale=8.0, **still)
    wrapper = ScaledWrapper(scaler, optimizer=torch.optim.SGD(method.student.parameters(), lr=0.1))
    step_of = lambda: method.train_step(batch, wrapper, context=StepContext(0), preprocess=False)  # noqa: E731
    method.train()
    step_of()
    assert int(method.step_skipped) == 0
    weight = method.student.decode_head.conv_seg.weight
    before = weight.detach().clone()
    weight.register_hook(lambda grad: grad * float('inf'))  # what overflow looks like: a finite loss, such a gradient
    step_of()
    assert int(method.step_skipped) == 1
    assert torch.equal(before, weight)
    if static:
        return
    with pytest.raises(NonFiniteError, match='loss scaler fell to'):  # at 1/1024 it is no matter of the scale
        for _ in range(20):
            step_of()


def test_given_supervised_draws_are_used(make):
    method, batch = make(method='Supervised'), batch_of()
    batch.pop('target')
    seen = []
    original = method.source_passes
    method.source_passes = lambda b, draws, state: (seen.append(draws), original(b, draws, state))[1]
    draws = SupervisedDraws(crop_box_source=None)
    step(method, batch, draws=draws)
    assert seen == [draws] and seen[0] is draws
    with pytest.raises(ValueError, match='2 micro-batches need as many draws, got 1'):
        step(method, [batch, batch], draws=[draws])


def load(method, state, tmp_path):
    """As mmengine's runner does for load_from, tools/test.py and resume: not strict."""
    torch.save(dict(state_dict=state), tmp_path / 'file.pth')
    return load_checkpoint(method, str(tmp_path / 'file.pth'), map_location='cpu', strict=False)


@pytest.mark.parametrize('evaluate', ['student', 'teacher'])
def test_plain_checkpoint_fills_student_and_teacher(make, tmp_path, evaluate):
    method, other = make(evaluate=evaluate), make()
    plain = {k: v + 1 for k, v in other.student.state_dict().items() if v.is_floating_point()}
    load(method, plain, tmp_path)
    judged = method.evaluated_network.state_dict()
    assert all(torch.equal(judged[k], v) for k, v in plain.items())


def test_checkpoints_of_other_networks_are_refused(make, tmp_path, tiny_config):
    method = make()
    with pytest.raises(ValueError, match='fits no network of DACS.*hrda2mmseg_dg'):
        load(method, {'model.backbone.x': torch.zeros(1)}, tmp_path)
    plain = dict(method.student.state_dict())
    with pytest.raises(ValueError, match=r"missing \(1\) \['decode_head.conv_seg.bias'\]"):
        load(method, {k: v for k, v in plain.items() if k != 'decode_head.conv_seg.bias'}, tmp_path)
    wider = tiny_config()
    wider.model.network.decode_head.channels = 12
    with pytest.raises(ValueError, match='other shapes .*conv_seg.weight .4, 8, 1, 1. instead of .4, 12, 1, 1.'):
        load(MODELS.build(wider.model), {f'student.{k}': v for k, v in plain.items()}, tmp_path)
    hrda = tiny_config()
    hrda.model.network.update(type='HRDAEncoderDecoder', hr_crop_size=(32, 32), decode_head=dict(
        type='HRDAHead', head=hrda.model.network.pop('decode_head'), attention_channels=8))
    with pytest.raises(ValueError, match='holds another network than the config .HRDAEncoderDecoder.'):
        load(MODELS.build(hrda.model), plain, tmp_path)


def test_network_that_freezes_batchnorm_keeps_it_frozen_in_the_teacher(make):
    method, batch = make(), batch_of()
    bn = method.teacher.module.decode_head.fuse_layer.bottleneck.bn
    bn.train = lambda mode=True: torch.nn.Module.train(bn, False)  # as norm_eval of mmseg's ResNet does
    before = bn.running_mean.clone()
    step(method, batch)
    assert torch.equal(before, bn.running_mean)


def test_norm_eval_freezes_every_statistic(make):
    method, batch = make(norm_eval=True), batch_of()
    before = {k: v.clone() for k, v in method.named_buffers() if 'running' in k}
    step(method, batch)
    assert before and all(torch.equal(before[k], dict(method.named_buffers())[k]) for k in before)


def test_source_loss_falls_while_self_training_runs(make):
    """Sanity: the whole step, pseudo-labels included, learns labels that can be read off the colors."""
    method = make()
    wrapper = optimizer(method, optimizer=dict(type='AdamW', lr=3e-3))
    colors = torch.tensor([[1.5, -1, 0], [-1, 1.5, 0.5], [0, 0, -2], [-1.5, -1.5, 1.5]])
    losses = []
    for iteration in range(40):
        batch = batch_of(seed=iteration % 2)
        for i, sample in enumerate(batch['source']['data_samples']):
            painted = colors[sample.gt_sem_seg.data[0]].permute(2, 0, 1)
            batch['source']['inputs'][i] = 0.1 * batch['source']['inputs'][i] + painted
        method.train()
        method.teacher.update_parameters(method.student)
        values = method.train_step(batch, wrapper, context=StepContext(0, 0, iteration), preprocess=False)
        losses.append(float(values['source.decode.loss_ce']))
    assert sum(losses[-5:]) < 0.75 * sum(losses[:5]), losses


def test_evaluate_teacher_or_student(make):
    inputs = torch.randn(1, 3, 64, 64)
    for name in ('student', 'teacher'):
        method = make(evaluate=name).eval()
        assert method.evaluated_network is method.networks()[name]
        assert method(inputs).shape == (1, 4, 16, 16)
    with pytest.raises(ValueError, match='not a network'):
        make(evaluate='imnet').before_training()


def test_jitter_probability_is_that_of_jittering(make):
    """The default draws what the official threshold draws: jitter where a uniform number is above 0.2."""
    from mmseg_dg.utils.seeding import StepGenerator
    batch = batch_of()
    method, never, always = make(), make(jitter_probability=0.), make(jitter_probability=1.)
    drawn = [method.draw_step(batch, StepGenerator(seed)).jitter for seed in range(300)]
    assert drawn == [bool(StepGenerator(seed).numpy.uniform() > 0.2) for seed in range(300)]
    assert 0.72 < sum(drawn) / 300 < 0.88
    assert not any(never.draw_step(batch, StepGenerator(seed)).jitter for seed in range(50))
    assert all(always.draw_step(batch, StepGenerator(seed)).jitter for seed in range(50))


@pytest.mark.parametrize('kwargs, match', [
    (dict(pseudo_threshold=1.2), 'probability'), (dict(ignore_top=-1), 'rows'),
    (dict(mix='class'), 'Remove the argument'),
    (dict(use_valid_mask=True, ignore_top=3), 'use_valid_mask'), (dict(jitter_probability=2.0), 'probability'),
    (dict(color_jitter_probability=0.2), 'NOT jittering. Set jitter_probability to 1 minus'),
])
def test_bad_arguments(make, kwargs, match):
    with pytest.raises(ValueError, match=match):
        make(**kwargs)


def test_unlabeled_source_and_unequal_batches(make):
    with pytest.raises(ValueError, match='needs labels'):
        step(make(), batch_of(labeled=False))
    batch = batch_of()
    batch['target'] = batch_of(size=96)['target']
    with pytest.raises(ValueError, match='one shape'):
        step(make(), batch, draws=StepDraws(mix_classes=[torch.tensor([0])] * 2))


@pytest.mark.parametrize('own', [dict(mean=[1.] * 3), dict(std=[10.] * 3), dict(bgr_to_rgb=False)])
def test_images_of_one_mix_have_one_normalization(tiny_config, own):
    model = tiny_config().model
    model.data_preprocessor.streams = dict(target=dict(mean=model.data_preprocessor.mean))
    MODELS.build(model).before_training()
    model.data_preprocessor.streams = dict(target=own)
    method = MODELS.build(model)
    with pytest.raises(ValueError, match='streams.target has its own (mean|std|channel_conversion): class mixing'):
        method.before_training()


def test_supervised_trains_and_tests(make):
    method, batch = make(method='Supervised'), batch_of()
    batch.pop('target')
    values = step(method, batch)
    assert set(values) == {'loss', 'source.decode.loss_ce', 'source.decode.acc_seg'}
    assert method.ema_pairs() == {} and method.streams == ('source', )
