"""Label-free scores: numbers worked out by hand, streaming, merging, the evaluator in a loop, best checkpoints."""
import csv
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_dg.engine.hooks.domain_checkpoint import DomainCheckpointHook, check_scores
from mmseg_dg.engine.loops.multi_domain import mean_over_domains
from mmseg_dg.evaluation import (
    DomainEvaluators,
    LabelFreeMetric,
    image_statistics,
    label_free_scores,
    neighborhood_density,
)
from mmseg_dg.evaluation.label_free import ImageStatistics, grid_probabilities

LN2 = math.log(2)
QUARTER = 0.25 * 2 + 0.75 * math.log2(4 / 3)  # entropy of (1/4, 3/4) in bits
RUNS = itertools.count()
CLASSES, PALETTE = ('road', 'sky', 'sign'), [[128, 64, 128], [70, 130, 180], [250, 170, 30]]


def three_pixels():
    """Logits (2, 1, 3) of the probabilities (1/2, 1/2), (3/4, 1/4), (1/4, 3/4)."""
    return torch.tensor([[[.5, .75, .25]], [[.5, .25, .75]]], dtype=torch.float64).log()


def test_each_score_by_hand():
    sums = image_statistics(three_pixels(), mirrored=torch.tensor([[0, 0, 1]]), other=torch.tensor([[1, 0, 1]]),
                            threshold=0.7, temperature=1.)
    found = label_free_scores(sums, prior=np.array([1., 3.]))
    # cosine of (2, 2) with (3, 1) and (1, 3): 4 / sqrt(20); of (3, 1) with (1, 3): 6 / 10
    q = 1 / (1 + math.exp(-(4 / math.sqrt(20) - 0.6)))
    toward_nearer = -(q * math.log(q) + (1 - q) * math.log(1 - q))
    middle = -(3 / 8) * math.log2(3 / 8) - (5 / 8) * math.log2(5 / 8)
    assert found == pytest.approx(dict(
        entropy=100 * (1 + 2 * QUARTER) / 3,
        info_max=100 * (1 - (1 + 2 * QUARTER) / 3),  # the mean prediction is uniform: one bit
        confident=200 / 3,
        density=100 * (LN2 + 2 * toward_nearer) / 3 / LN2,
        flip_agreement=100.,  # of equal probabilities the first class is taken
        teacher_agreement=200 / 3,
        class_balance=100 * (1 - (middle - (1 + QUARTER) / 2))), abs=1e-12)


def test_certain_wrong_and_collapsed_predictions():
    one_class = torch.tensor([30., -30.], dtype=torch.float64)[:, None, None].expand(2, 4, 4)
    found = label_free_scores(image_statistics(one_class), prior=np.array([1., 1.]))
    assert found['entropy'] == pytest.approx(0, abs=1e-9) and found['confident'] == 100
    assert found['info_max'] == pytest.approx(0, abs=1e-9)  # sure, but of one class alone: worth nothing
    assert found['density'] == pytest.approx(100)  # all pixels are each other's neighbors
    assert found['class_balance'] < 70
    disjoint = label_free_scores(image_statistics(one_class), prior=np.array([0., 1.]))
    assert disjoint['class_balance'] == pytest.approx(0, abs=1e-9)


def test_infinite_logits_of_impossible_classes_count_as_zero():
    logits = torch.tensor([0., 0., -math.inf], dtype=torch.float64)[:, None, None]
    found = label_free_scores(image_statistics(logits))
    assert found['entropy'] == pytest.approx(100 * LN2 / math.log(3)) and 'density' not in found


@pytest.mark.parametrize('logits, words', [
    (torch.zeros(1, 2, 2), 'at least two classes'), (torch.zeros(2, 2), r'\(C, H, W\)'),
    (torch.full((2, 2, 2), math.nan), 'not finite'), (torch.zeros(2, 2, 2, dtype=torch.int64), 'floating point')])
def test_bad_logits(logits, words):
    with pytest.raises(ValueError, match=words):
        image_statistics(logits)


def test_maps_of_another_size_are_refused():
    with pytest.raises(ValueError, match='mirrored'):
        image_statistics(three_pixels(), mirrored=torch.zeros(3, 1, dtype=torch.long))


def test_density_grid_is_spread_over_the_image_and_bounded():
    logits = torch.arange(40 * 60, dtype=torch.float64).view(1, 40, 60)
    logits = torch.cat([logits, torch.zeros_like(logits)])
    assert len(grid_probabilities(logits, 10_000)) == 2400
    few = grid_probabilities(logits / 2400, 24)  # 4 rows of 6: centers of equal parts
    assert len(few) == 24
    assert torch.equal(few[0], (logits[:, 5, 5] / 2400).softmax(0))
    assert torch.equal(few[-1], (logits[:, 35, 55] / 2400).softmax(0))
    assert neighborhood_density(few[:2]) is None


def test_blocks_of_rows_do_not_change_the_sums(monkeypatch):
    logits = torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = image_statistics(logits).vector()
    monkeypatch.setattr('mmseg_dg.evaluation.label_free._BLOCK', 30)  # two rows at once
    np.testing.assert_allclose(image_statistics(logits).vector(), whole, rtol=1e-13)


def images(count=3, seed=0):
    """Logits of images of different sizes, float64."""
    make = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(3, 4 + i, 5, dtype=torch.float64, generator=make) for i in range(count)]


def sample(logits, name='a.png'):
    return dict(seg_logits=dict(data=logits), img_path=name)


def test_streaming_over_images_equals_all_pixels_at_once():
    maps = images()
    metric = LabelFreeMetric(prior=[3, 2, 1], flip=False, threshold=0.8)
    metric.process(None, [sample(maps[0])])
    metric.process(None, [sample(maps[1]), sample(maps[2])])
    found = metric.evaluate(3)
    p = torch.cat([m.flatten(1) for m in maps], 1).softmax(0)  # (3, all pixels)
    entropy = float(-(p * p.log()).sum(0).mean()) / math.log(3)
    mean = p.mean(1)
    info = float(-(mean * mean.log()).sum()) / math.log(3) - entropy
    assert found['entropy'] == pytest.approx(100 * entropy, rel=1e-12)
    assert found['info_max'] == pytest.approx(100 * info, rel=1e-12)
    assert found['confident'] == pytest.approx(100 * float((p.amax(0) >= 0.8).double().mean()), rel=1e-12)
    assert found['label_free'] == pytest.approx((found['info_max'] + found['class_balance']) / 2, rel=1e-12)
    assert [s['img_path'] for s in metric.image_scores] == ['a.png'] * 3
    alone = label_free_scores(image_statistics(maps[2], threshold=0.8))
    assert metric.image_scores[2]['entropy'] == pytest.approx(alone['entropy'], rel=1e-12)


def test_a_repeated_last_image_of_a_process_is_subtracted(monkeypatch):
    maps, module = images(), 'mmseg_dg.evaluation.label_free_metric'
    parts = []
    for rank, own in enumerate(([0, 2], [1, 0])):  # DefaultSampler repeats image 0 so that both have two
        monkeypatch.setattr(f'{module}.get_dist_info', lambda rank=rank: (rank, 2))
        monkeypatch.setattr(f'{module}.all_reduce', lambda t: parts.append(t.clone()))
        metric = LabelFreeMetric(flip=False)
        metric.process(None, [sample(maps[i]) for i in own])
        metric.evaluate(3)
    monkeypatch.undo()
    alone = LabelFreeMetric(flip=False)
    alone.process(None, [sample(m) for m in maps])
    merged = label_free_scores(ImageStatistics.from_vector(sum(parts).numpy()))
    whole = alone.evaluate(3)
    assert merged == pytest.approx({k: whole[k] for k in merged}, rel=1e-12)


@pytest.mark.parametrize('arguments, words', [
    (dict(combine=['accuracy']), 'accuracy'), (dict(combine=[]), 'needs scores'),
    (dict(combine=['class_balance']), 'class_balance needs prior|class_balance prior'),
    (dict(combine=['flip_agreement'], flip=False), 'flip=True'), (dict(threshold=2), 'threshold')])
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        LabelFreeMetric(**arguments)


def test_bad_priors_and_missing_logits():
    metric = LabelFreeMetric(prior=[1, 2], flip=False)
    with pytest.raises(ValueError, match='each of the 3 predicted classes'):
        metric.process(None, [sample(images(1)[0])])
    with pytest.raises(ValueError, match='x.png: the network gives classes without logits'):
        LabelFreeMetric(flip=False).process(None, [dict(pred_sem_seg=0, img_path='x.png')])
    with pytest.raises(ValueError, match='nothing gave it a network'):
        LabelFreeMetric().process(None, [sample(images(1)[0])])


# ---------------------------------------------------------------- in a loop
@ROOT_MODELS.register_module(force=True)
class TwoNetworks(BaseModel):
    """Student: logits are the colors, which mirroring does not change where ``shift`` is 0. Teacher: they are turned
    round."""

    def __init__(self, shift=0):
        super().__init__(data_preprocessor=dict(type='SegDataPreProcessor'))
        self.evaluate, self.shift, self.calls = 'student', shift, 0

    def networks(self):
        return dict(student=self, teacher=self)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, one in zip(torch.stack(list(inputs)), data_samples):
            self.calls += 1
            logits = image.double().roll(self.shift, -1) / 20
            one.seg_logits = PixelData(data=logits if self.evaluate == 'student' else logits.flip(0))
            one.pred_sem_seg = PixelData(data=one.seg_logits.data.argmax(0, keepdim=True))
        return data_samples


def folder_domain(root, masks):
    for name in ('img', 'label'):
        (root / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(0)
    for i in range(2):
        Image.fromarray(rng.randint(0, 200, (6, 8, 3), np.uint8)).save(root / 'img' / f'{i}.png')
        Image.fromarray(rng.randint(0, 3, (6, 8)).astype(np.uint8)).save(root / 'label' / f'{i}.png')
    steps = ['LoadImageFromFile', *(['LoadAnnotations'] if masks else []), 'PackSegInputs']
    prefix = dict(img_path='img', **(dict(seg_map_path='label') if masks else {}))
    return dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='FolderDataset', classes=CLASSES, palette=PALETTE, data_root=str(root),
                             data_prefix=prefix, pipeline=[dict(type=step) for step in steps]))


def run_val(tmp_path, monkeypatch, evaluator, shift=0):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    domains = dict(labeled=folder_domain(tmp_path / 'a', True), target=folder_domain(tmp_path / 'b', False))
    runner = Runner(work_dir=str(tmp_path / 'work'), experiment_name=f'label_free_{next(RUNS)}',
                    default_scope='mmseg_dg', log_level='WARNING', model=dict(type='TwoNetworks', shift=shift),
                    val_dataloader=domains, val_evaluator=evaluator, val_cfg=dict(type='MultiDomainValLoop'))
    return runner, runner.val()


def test_a_domain_without_masks_beside_one_with(tmp_path, monkeypatch):
    both = [dict(type='ConfusionMatrixMetric'), dict(type='LabelFreeMetric')]
    runner, found = run_val(tmp_path, monkeypatch, dict(labeled=both, target=dict(type='LabelFreeMetric')))
    assert found['target/flip_agreement'] == 100  # the student does not care which way an image looks
    assert 0 < found['target/teacher_agreement'] < 100  # the middle channel's pixels stay
    assert found['target/label_free'] == found['labeled/label_free']  # the same images, with masks and without
    assert found['mean/mIoU'] == found['labeled/mIoU']  # a domain without labels does not enter it
    assert found['mean/label_free'] == pytest.approx(found['target/label_free'])
    assert 'target/mIoU' not in found and runner.model.evaluate == 'student'
    assert runner.model.calls == 2 * 2 * 3  # itself, mirrored, teacher
    table = next((tmp_path / 'work').glob('*/evaluation_iter_0.csv'))
    rows = {row['domain']: row for row in csv.DictReader(table.open())}
    assert float(rows['target']['label_free']) == found['target/label_free'] and rows['target']['mIoU'] == ''


def test_a_network_that_depends_on_the_side_disagrees_with_itself(tmp_path, monkeypatch):
    _, found = run_val(tmp_path, monkeypatch, dict(type='LabelFreeMetric', teacher=False), shift=1)
    assert found['target/flip_agreement'] < 70 and 'target/teacher_agreement' not in found


def test_labels_that_are_not_there_are_missed_before_the_first_image(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match='"target" scores against labels, but its dataset has none'):
        run_val(tmp_path, monkeypatch, dict(type='ConfusionMatrixMetric'))
    with pytest.raises(ValueError, match="teacher='momentum' is not a network of TwoNetworks"):
        run_val(tmp_path, monkeypatch, dict(labeled=dict(type='ConfusionMatrixMetric'),
                                            target=dict(type='LabelFreeMetric', teacher='momentum')))
    with pytest.raises(ValueError, match="prior='source' is no training stream"):
        run_val(tmp_path, monkeypatch, dict(labeled=dict(type='ConfusionMatrixMetric'),
                                            target=dict(type='LabelFreeMetric', prior='source')))


def test_mirrored_samples_do_not_overwrite_the_prediction():
    metric, model = LabelFreeMetric(), SimpleNamespace()
    data = SegDataSample(metainfo=dict(img_path='a.png'))
    data.seg_logits = PixelData(data=torch.randn(2, 3, 4))
    kept = data.seg_logits.data.clone()

    def step(batch):
        for image, one in zip(batch['inputs'], batch['data_samples']):
            one.seg_logits = PixelData(data=torch.stack([image[0], -image[0]]))
        return batch['data_samples']

    metric.use_model(model, step)
    metric.process(dict(inputs=[torch.randn(3, 3, 4)], data_samples=[data]), [data.to_dict()])
    assert torch.equal(data.seg_logits.data, kept)


# ---------------------------------------------------------------- best checkpoints
def test_direction_of_best_scores():
    hook = DomainCheckpointHook(interval=1, save_best=['t/label_free', 't/entropy'])
    assert hook.rules == ['greater', 'less']
    assert DomainCheckpointHook(interval=1, save_best='t/label_free').rules == ['greater']
    assert DomainCheckpointHook(interval=1, save_best='t/entropy').rules == ['less']


def test_keys_of_best_checkpoints_are_checked_before_training(tmp_path):
    one = SimpleNamespace(metrics=[LabelFreeMetric(density_pixels=0)])
    labeled = SimpleNamespace(metrics=[SimpleNamespace()])
    evaluators = DomainEvaluators(dict(target=one, city=labeled))
    for key in ('target/label_free', 'target/entropy', 'mean/label_free', 'city/mIoU'):
        check_scores(evaluators, key)
    for key, words in (('target/mIoU', 'needs labels'), ('city/label_free', 'LabelFreeMetric'),
                       ('target/density', 'not a metric'), ('target/class_balance', 'not a metric')):
        with pytest.raises(ValueError, match=words):
            check_scores(evaluators, key)


def test_means_over_domains_keep_their_rules():
    domains = dict(a={'mIoU': 40., 'label_free': 10.}, b={'mIoU': 60.}, t={'label_free': 30.}, s={'mIoU': 90.})
    assert mean_over_domains(domains, ['s']) == {'mean/mIoU': 50., 'mean/label_free': 20.}


def test_every_score_without_labels_has_a_mean_over_domains():
    """Of those that all domains have, which are no source."""
    domains = dict(a=dict(mIoU=40., label_free=10., entropy=4., density=1.), t=dict(label_free=30., entropy=8.),
                   plain=dict(mIoU=60.), s=dict(mIoU=0., label_free=90., entropy=90., density=9.))
    assert mean_over_domains(domains, ['s']) == {'mean/mIoU': 50., 'mean/label_free': 20., 'mean/entropy': 6.}
