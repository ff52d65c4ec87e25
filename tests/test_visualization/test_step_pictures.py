"""Pictures of one training step, and the hook that draws them."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmseg_dg.engine.hooks.training_pictures import TrainingPicturesHook
from mmseg_dg.methods.step import StepRecord, StepRecorder, StepState
from mmseg_dg.visualization import step_grid, step_tiles

PALETTE = [[10, 20, 30], [200, 100, 0], [0, 0, 255]]
NO_NORM = dict(mean=[0.0] * 3, std=[1.0] * 3)


def stream(value, labeled, size=(20, 30), batch=2):
    samples = []
    for i in range(batch):
        sample = SegDataSample()
        if labeled:
            sample.gt_sem_seg = PixelData(data=torch.full((1, *size), i))
        else:
            sample.valid_pseudo_mask = PixelData(data=torch.ones(1, *size, dtype=torch.uint8))
        samples.append(sample)
    return dict(inputs=torch.full((batch, 3, *size), float(value)), data_samples=samples)


def dacs_record():
    state = dict(pseudo_label=torch.full((2, 20, 30), 2), pseudo_weight=torch.full((2, 20, 30), 0.25),
                 mixed_image=torch.full((2, 3, 20, 30), 77.0), mixed_label=torch.ones(2, 20, 30, dtype=torch.int64),
                 mixed_weight=torch.ones(2, 20, 30), mix_mask=torch.ones(2, 20, 30, dtype=torch.bool),
                 distance_mask=torch.zeros(2, 2, 3, dtype=torch.bool))
    return StepRecord(dict(source=stream(100, True), target=stream(200, False)), None, StepState(**state))


def test_two_rows_of_five():
    rows = step_tiles(dacs_record(), **NO_NORM, palette=PALETTE, index=1)
    assert [[tile.caption for tile in row] for row in rows] == [
        ['source image', 'source label', 'mixed image', 'pseudo weight 0.25', 'distance mask 0%'],
        ['target image', 'pseudo-label', 'mix mask 100%', 'mixed label', 'valid mask 100%']]
    shown = {tile.caption: tile.picture[0, 0].tolist() for row in rows for tile in row}
    assert shown['source image'] == [100] * 3 and shown['target image'] == [200] * 3
    assert shown['source label'] == PALETTE[1]  # image 1 of the batch
    assert shown['mixed image'] == [77] * 3
    assert shown['pseudo-label'] == PALETTE[2] and shown['mixed label'] == PALETTE[1]
    assert shown['mix mask 100%'] == shown['valid mask 100%'] == [255] * 3
    assert shown['distance mask 0%'] == [0] * 3
    grid = step_grid(dacs_record(), **NO_NORM, palette=PALETTE, index=0)
    assert grid.dtype == np.uint8 and grid.shape == (2 * (20 + 22) + 4, 5 * (30 + 4) + 4, 3)
    assert step_grid(dacs_record(), **NO_NORM, palette=PALETTE, tile=15).shape == (2 * (10 + 22) + 4, 5 * 19 + 4, 3)


def test_supervised_step_has_one_row():
    record = StepRecord(dict(source=stream(100, True)), None, StepState())
    rows = step_tiles(record, **NO_NORM, palette=PALETTE)
    assert [[tile.caption for tile in row] for row in rows] == [['source image', 'source label']]


def test_semi_supervised_stream_names_and_missing_keys():
    record = StepRecord(dict(labeled=stream(1, True), unlabeled=stream(2, False)), None, StepState())
    rows = step_tiles(record, **NO_NORM, palette=PALETTE)
    assert [tile.caption for tile in rows[0]] == ['labeled image', 'labeled label']
    assert [tile.caption for tile in rows[1]] == ['unlabeled image', 'valid mask 100%']
    with pytest.raises(ValueError, match='no image 7'):
        step_tiles(record, **NO_NORM, palette=PALETTE, index=7)


class FakeVisualizer:

    def __init__(self):
        self.images = []

    def add_image(self, name, image, step=0):
        self.images.append((name, image.shape, step))


def fake_runner(record, iteration=0):
    def model():
        pass
    model.recorder, model.labeled_streams = StepRecorder(), ('source', )
    model.data_preprocessor = SegDataPreProcessor(mean=[0.] * 3, std=[1.] * 3)
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(palette=PALETTE)))
    return SimpleNamespace(model=model, iter=iteration, visualizer=FakeVisualizer(), train_dataloader=loader)


def one_iteration(hook, runner, record):
    hook.before_train_iter(runner, 0)
    runner.model.recorder.record = record if runner.model.recorder.wanted else None
    hook.after_train_iter(runner, 0)


def test_hook_asks_draws_and_frees():
    hook, runner = TrainingPicturesHook(interval=10, max_images=5), fake_runner(None)
    one_iteration(hook, runner, dacs_record())
    assert [(name, step) for name, _, step in runner.visualizer.images] == [('training_0', 1), ('training_1', 1)]
    assert runner.model.recorder.record is None and not runner.model.recorder.wanted
    for iteration in range(1, 10):
        runner.iter = iteration
        one_iteration(hook, runner, dacs_record())
    assert len(runner.visualizer.images) == 2
    runner.iter = 10
    one_iteration(hook, runner, dacs_record())
    assert runner.visualizer.images[-1][2] == 11
    with pytest.raises(ValueError, match='max_images'):
        TrainingPicturesHook(max_images=0)


def test_hook_survives_what_it_cannot_draw():
    runner = fake_runner(None)
    one_iteration(TrainingPicturesHook(), runner, None)  # a method that keeps no record
    runner.train_dataloader.dataset.metainfo.clear()
    one_iteration(TrainingPicturesHook(), runner, dacs_record())  # no palette
    runner.visualizer = None
    one_iteration(TrainingPicturesHook(palette=PALETTE), runner, dacs_record())
    one_iteration(TrainingPicturesHook(interval=0), runner, dacs_record())
    runner.visualizer = FakeVisualizer()
    one_iteration(TrainingPicturesHook(palette=PALETTE, max_images=1), runner, dacs_record())
    assert len(runner.visualizer.images) == 1


def test_pictures_land_in_vis_image(tmp_path):
    from mmengine.visualization import Visualizer
    runner = fake_runner(None)
    runner.visualizer = Visualizer(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    one_iteration(TrainingPicturesHook(max_images=1), runner, dacs_record())
    assert [p.name for p in (tmp_path / 'vis_data' / 'vis_image').iterdir()] == ['training_0_1.png']
