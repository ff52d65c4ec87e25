"""Several named domains through a real mmengine Runner (evaluation only)."""
import csv
import itertools
import json
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from PIL import Image

from mmseg_dg.engine.loops.multi_domain import mean_over_domains, predicted_classes
from mmseg_dg.evaluation import confusion_matrix, scores

CLASSES = ('road', 'sky', 'traffic light')
PALETTE = [[128, 64, 128], [70, 130, 180], [250, 170, 30]]
RUNS = itertools.count()


@pytest.fixture(autouse=True)
def _no_environment_report(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # half a second per runner


@ROOT_MODELS.register_module(force=True)
class ReadsTheBlueChannel(BaseModel):
    """Predicts the class id that is written into the image (blue / 10); records how it is called."""

    def __init__(self, num_classes=3):
        super().__init__(data_preprocessor=dict(type='SegDataPreProcessor'))
        self.decode_head = torch.nn.Identity()
        self.decode_head.num_classes = num_classes
        self.calls = []

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.calls.append((self.training, torch.is_grad_enabled(), torch.is_autocast_enabled('cpu')))
        images = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        for image, sample in zip(images, data_samples):
            sample.pred_sem_seg = PixelData(data=(image[:1] // 10).long())
        return data_samples


class Recorder(Hook):
    """Writes down the order of hook calls, and what hooks can see during a batch."""

    def __init__(self):
        self.calls, self.seen = [], []

    def before_val(self, runner):
        self.calls.append('before_val')

    def before_val_epoch(self, runner):
        self.calls.append('before_val_epoch')

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        self.calls.append(f'before {batch_idx}')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.calls.append(f'after {batch_idx}')
        self.seen.append((len(runner.val_dataloader), outputs[0].metainfo['domain'], outputs[0].metainfo['picture']))
        assert runner.visualizer.dataset_meta['classes'] == CLASSES
        assert 'gt_sem_seg' in outputs[0]

    def after_val_epoch(self, runner, metrics=None):
        self.calls.append('after_val_epoch')
        self.metrics = dict(metrics)

    def after_val(self, runner):
        self.calls.append('after_val')


def make_domain(root, name, images, seed):
    """Images whose blue channel is a noisy label; returns (dataset config, expected confusion matrix)."""
    rng = np.random.RandomState(seed)
    expected = np.zeros((3, 3), np.int64)
    for folder in ('img', 'label'):
        (root / name / folder).mkdir(parents=True)
    for i in range(images):
        label = rng.randint(0, 3 if seed else 2, (6, 8))
        prediction = np.where(rng.rand(6, 8) < 0.7, label, rng.randint(0, 3 if seed else 2, (6, 8)))
        rgb = np.stack([np.zeros_like(label), np.zeros_like(label), 10 * prediction], -1).astype(np.uint8)
        Image.fromarray(rgb).save(root / name / 'img' / f'{i:03d}.png')
        Image.fromarray(label.astype(np.uint8)).save(root / name / 'label' / f'{i:03d}.png')
        expected += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(label), 3)
    return domain_config(root, name), expected


def domain_config(root, name, classes=CLASSES, palette=PALETTE):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    return dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='BaseSegDataset', data_root=str(root / name), img_suffix='.png',
                             data_prefix=dict(img_path='img', seg_map_path='label'), pipeline=pipeline,
                             metainfo=dict(classes=classes, palette=palette)))


def make_runner(tmp_path, dataloader, evaluator=None, mode='val', loop=None, **kwargs):
    kind = dict(val='MultiDomainValLoop', test='MultiDomainTestLoop')[mode]
    kwargs.setdefault('model', dict(type='ReadsTheBlueChannel'))
    evaluator = evaluator or dict(type='ConfusionMatrixMetric')
    return Runner(work_dir=str(tmp_path / 'work'), experiment_name=f'multi_domain_{next(RUNS)}',
                  default_scope='mmseg_dg', log_level='WARNING',
                  **{f'{mode}_dataloader': dataloader, f'{mode}_evaluator': evaluator,
                     f'{mode}_cfg': dict(type=kind, **(loop or {}))}, **kwargs)


def report_rows(runner, stem='evaluation_iter_0'):
    with open(f'{runner.log_dir}/{stem}.csv') as file:
        return {row['domain']: row for row in csv.DictReader(file)}


@pytest.fixture
def two_domains(tmp_path):
    day, day_matrix = make_domain(tmp_path, 'day', 3, seed=0)  # no traffic light anywhere
    night, night_matrix = make_domain(tmp_path, 'night', 2, seed=1)
    return ConfigDict(day=day, night=night), day_matrix, night_matrix


def test_metrics_of_every_domain(tmp_path, two_domains):
    loaders, day, night = two_domains
    runner = make_runner(tmp_path, loaders)
    metrics = runner.val()
    assert metrics['day/mIoU'] == pytest.approx(scores(day).miou, rel=1e-12)
    assert metrics['night/IoU.traffic light'] == pytest.approx(scores(night).iou[2], rel=1e-12)
    assert metrics['night/aAcc'] == pytest.approx(scores(night).aacc, rel=1e-12)
    assert metrics['mean/mIoU'] == pytest.approx((scores(day).miou + scores(night).miou) / 2, rel=1e-12)
    assert math.isnan(metrics['day/IoU.traffic light'])
    assert all(type(value) is float for value in metrics.values())
    assert set(runner.model.calls) == {(False, False, False)}  # evaluation mode, no gradients, no autocast


def test_hooks_and_scalars(tmp_path, two_domains):
    recorder = Recorder()
    runner = make_runner(tmp_path, two_domains[0], custom_hooks=[recorder],
                         log_processor=dict(type='DomainLogProcessor', by_epoch=False))
    metrics = runner.val()
    iterations = [f'{when} {i}' for i in range(5) for when in ('before', 'after')]
    assert recorder.calls == ['before_val', 'before_val_epoch', *iterations, 'after_val_epoch', 'after_val']
    assert [length for length, *_ in recorder.seen] == [5] * 5  # remaining time counts over all domains
    assert [domain for _, domain, _ in recorder.seen] == ['day'] * 3 + ['night'] * 2, 'passed with the sample'
    assert len({(domain, picture) for _, domain, picture in recorder.seen}) == 5
    assert runner.val_dataloader.dataset.metainfo['classes'] == CLASSES
    assert recorder.metrics.keys() == metrics.keys()
    line = json.loads(next(iter((tmp_path / 'work').glob('*/vis_data/scalars.json'))).read_text())
    assert line['night/IoU.traffic light'] == metrics['night/IoU.traffic light']
    assert line['mean/mIoU'] == metrics['mean/mIoU']


def test_log_line_leaves_out_single_classes(tmp_path, two_domains):
    runner = make_runner(tmp_path, two_domains[0], log_processor=dict(type='DomainLogProcessor', by_epoch=False))
    runner.val()
    assert set(report_rows(runner)) == {'day', 'night', 'mean'}
    assert 'No score chooses a checkpoint' in open(f'{runner.log_dir}/evaluation_iter_0.md').read()
    tag, text = runner.log_processor.get_log_after_epoch(runner, 5, 'val')
    assert 'night/IoU.traffic light' in tag
    assert 'IoU.' not in text and 'Acc.' not in text
    assert 'day/mIoU: ' in text and 'night/aAcc: ' in text and 'mean/mIoU: ' in text and 'time: ' in text


def test_report_files(tmp_path, two_domains):
    loaders, day, _ = two_domains
    evaluator = dict(day=dict(type='ConfusionMatrixMetric', note='frames of the training sequence'),
                     night=[dict(type='ConfusionMatrixMetric')])
    runner = make_runner(tmp_path, loaders, evaluator, mode='test',
                         default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='day/mIoU')))
    metrics = runner.test()
    rows = report_rows(runner, 'evaluation_test')
    assert float(rows['day']['mIoU']) == metrics['day/mIoU']  # not rounded
    assert rows['day']['images'] == '3' and rows['day']['note'] == 'frames of the training sequence'
    assert [rows[name]['selects_checkpoint'] for name in ('day', 'night')] == ['yes', 'no']
    assert float(rows['mean']['mIoU']) == metrics['mean/mIoU']
    text = open(f'{runner.log_dir}/evaluation_test.md').read()
    assert '`day/mIoU`' in text and 'frames of the training sequence' in text
    assert '**day** (3 images): its validation data chooses the best checkpoint' in text
    assert '**night** (2 images): its data does not choose the checkpoint' in text
    assert f'{scores(day).iou[0]:.2f}' in text and '| traffic light |' in text


def test_one_plain_dataloader_and_bf16(tmp_path):
    plain, matrix = make_domain(tmp_path, 'day', 2, seed=1)
    runner = make_runner(tmp_path, Config(dict(x=plain)).x, loop=dict(bf16=True))
    assert runner.val()['val/mIoU'] == pytest.approx(scores(matrix).miou, rel=1e-12)
    assert runner.model.calls[0] == (False, False, True)
    with pytest.raises(ValueError, match='fp16=True and bf16=True'):
        make_runner(tmp_path, plain, loop=dict(bf16=True, fp16=True)).val()


def test_test_loop_saves_predictions_per_domain(tmp_path, two_domains):
    loaders = two_domains[0]
    evaluator = dict(type='ConfusionMatrixMetric', output_dir=str(tmp_path / 'out'))
    runner = make_runner(tmp_path, loaders, evaluator, mode='test')
    assert runner.test()['mean/mIoU'] > 0
    assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == ['day', 'night']
    saved = np.asarray(Image.open(tmp_path / 'out' / 'night' / '001.png'))
    image = np.asarray(Image.open(tmp_path / 'night' / 'img' / '001.png'))
    np.testing.assert_array_equal(saved, image[..., 2] // 10)
    assert set(report_rows(runner, 'evaluation_test')) == {'day', 'night', 'mean'}


def test_pictures_of_two_domains_do_not_overwrite_each_other(tmp_path, two_domains):
    runner = make_runner(
        tmp_path, two_domains[0], mode='test', visualizer=dict(type='SegmentationVisualizer',
                                                               vis_backends=[dict(type='LocalVisBackend')]),
        default_hooks=dict(visualization=dict(type='SegVisualizationHook', draw=True, interval=1)))
    runner.test()
    names = sorted(p.name for p in (tmp_path / 'work').glob('*/vis_data/vis_image/*.png'))
    assert len(names) == 5 and names[0].startswith('day_test_000.png_')  # a number follows, which differs by mmseg
    assert names[-1].startswith('night_test_001.png_')


def test_empty_domain(tmp_path, two_domains):
    loaders = two_domains[0]
    (tmp_path / 'dusk' / 'img').mkdir(parents=True)
    loaders['dusk'] = domain_config(tmp_path, 'dusk')
    with pytest.raises(ValueError, match='validation domain "dusk" has an empty dataset'):
        make_runner(tmp_path, loaders).val()


def test_class_lists_differ(tmp_path, two_domains):
    loaders = two_domains[0]
    loaders['night'] = domain_config(tmp_path, 'night', CLASSES[:2], PALETTE[:2])
    with pytest.raises(ValueError, match='(?s)"day" and "night" disagree on classes.*traffic light'):
        make_runner(tmp_path, loaders).val()


def test_network_with_another_number_of_classes(tmp_path, two_domains):
    with pytest.raises(ValueError, match='network predicts 11 classes.*"day" is scored on 3'):
        make_runner(tmp_path, two_domains[0], model=dict(type='ReadsTheBlueChannel', num_classes=11)).val()


@pytest.mark.parametrize('evaluator, text', [
    (dict(day=dict(type='ConfusionMatrixMetric')), r"without evaluator: \['night'\]"),
    ({name: dict(type='ConfusionMatrixMetric') for name in ('day', 'night', 'fog')}, r"without dataloader: \['fog'\]"),
    (dict(type='ConfusionMatrixMetric', classes_subset=['lorry']), '(?s)evaluator of validation domain "day".*lorry'),
])
def test_evaluators_that_do_not_fit(tmp_path, two_domains, evaluator, text):
    with pytest.raises(ValueError, match=text):
        make_runner(tmp_path, two_domains[0], evaluator).val()


def test_domain_names_and_forms(tmp_path, two_domains):
    loaders = two_domains[0]
    with pytest.raises(ValueError, match='cannot be called "mean"'):
        make_runner(tmp_path, dict(mean=loaders['day'])).val()
    with pytest.raises(ValueError, match='"day" needs a dataloader config with a dataset'):
        make_runner(tmp_path, dict(day=dict(batch_size=1))).val()


def test_evaluation_leaves_the_global_generators_alone(tmp_path, two_domains):
    runner = make_runner(tmp_path, two_domains[0])
    loop = runner.val_loop
    before = torch.get_rng_state()
    runner.call_hook('before_run')
    loop.run()
    assert torch.equal(before, torch.get_rng_state())


def test_mean_over_domains():
    by_domain = dict(a={'mIoU': 10.0, 'aAcc': 1.0, 's/mIoU': 3.0}, b={'mIoU': 20.0}, only_saved={})
    assert mean_over_domains(by_domain) == {'mean/mIoU': 15.0}
    assert mean_over_domains(dict(a={})) == {}


def test_predicted_classes_of_wrappers_and_heads():
    model = ReadsTheBlueChannel(7)
    assert predicted_classes(model) == 7
    method = torch.nn.Module()
    method.evaluated_network = model
    assert predicted_classes(method) == 7
    assert predicted_classes(torch.nn.Linear(2, 2)) is None
