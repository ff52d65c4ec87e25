"""Semi-supervised runs on a little folder: training, what hooks write, and faults found before iteration 0."""
import csv
import importlib.util
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_models.diffusion_networks import network_config

from mmseg_dg.engine.hooks.class_bias import histogram_row, pseudo_label_counts

from .test_resume import _stopping_after, assert_identical, state_of

CLASSES, PALETTE = ['road', 'building', 'sky', 'car'], [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]
STEMS = [f'{i:02d}' for i in range(12)]


@pytest.fixture
def semi_config(tiny_config, tiny_data, tmp_path):
    """``semi_config(type=..., labeled=stems, unlabeled=stems, batch=2, **model)``."""

    def build(type='UniMatch', labeled=STEMS[:3], unlabeled=STEMS[3:], batch=2, mix=True, hooks=(), **model):
        cfg = tiny_config(method='Supervised', max_iters=4, val_interval=4)
        folder = tmp_path / 'splits' / '1_4'
        folder.mkdir(parents=True, exist_ok=True)
        for name, stems in (('labeled', labeled), ('unlabeled', unlabeled)):
            (folder / f'{name}.txt').write_text('\n'.join(stems))

        def stream(name, labeled):
            second = 'LoadAnnotations' if labeled else 'PseudoLabelMargins'
            steps = [dict(type='LoadImageFromFile'), dict(type=second),
                     dict(type='RandomRescale', ratio_range=(0.5, 2.0)),
                     dict(type='Pad', size=(64, 64), pad_val=dict(img=0, seg=255 if labeled else 0)),
                     dict(type='RandomCrop', crop_size=(64, 64)), dict(type='RandomFlip', prob=0.5),
                     dict(type='PackStreamInputs')]
            prefix = dict(img_path='img', **(dict(seg_map_path='label') if labeled else {}))
            return dict(batch_size=batch, num_workers=0, dataset=dict(
                type='FolderDataset', classes=CLASSES, palette=PALETTE, data_root=str(tiny_data / 'target'),
                ann_file=str(folder / f'{name}.txt'), data_prefix=prefix, pipeline=steps))

        cfg.train_dataloader = dict(labeled=stream('labeled', True), unlabeled=stream('unlabeled', False))
        if mix:
            cfg.train_dataloader['unlabeled_mix'] = stream('unlabeled', False)
        cfg.runner_type = 'SemiSupervisedRunner'
        cfg.model.update(type=type, **model)
        cfg.val_evaluator = cfg.test_evaluator = dict(type='ClassBiasMetric')
        cfg.custom_hooks = list(hooks)
        return cfg

    return build


STATISTICS = [dict(type='PseudoLabelStatisticsHook', interval=1, window=2), dict(type='ClassBiasPicturesHook'),
              dict(type='TrainingPicturesHook', interval=2)]
TEACHER = [dict(type='EMAUpdateHook', beta=0.9, when='after_step', ramp=True, buffers='average')]


@pytest.mark.parametrize('arguments', [
    dict(type='FixMatch', mix=False, cutmix=None, threshold=0.3),
    dict(type='UniMatch', threshold=0., pseudo_labels='teacher', evaluate='teacher', hooks=TEACHER)])
def test_trains_and_records_what_it_learned_from(semi_config, run_config, arguments):
    hooks = [*arguments.pop('hooks', ()), *STATISTICS]
    cfg = semi_config(hooks=hooks, **arguments)
    runner = run_config(cfg)
    assert runner.iter == 4 and all(torch.isfinite(p).all() for p in runner.model.student.parameters())
    scalars = runner.message_hub.log_scalars
    names = {k for k in scalars if 'loss' in k}
    views = 1 if arguments['type'] == 'FixMatch' else 2
    assert {'train/labeled.decode.loss_ce', f'train/strong{views}.loss_ce'} <= names
    assert ('train/feature.loss_ce' in names) == (views == 2)
    assert 0 <= scalars['val/target/mIoU.head'].current() <= 100
    if views == 2:
        assert int(runner.model.teacher.steps) == 4
    with open(Path(runner.log_dir) / 'pseudo_labels.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['iteration'] for row in rows] == ['2', '4']
    if views == 2:  # threshold 0: every pixel that is not padding, two steps of two crops
        assert all(0 < int(r['pixels']) <= 4 * 64 * 64 for r in rows)
        for row in rows:
            shares = np.array([float(row[c]) for c in CLASSES])
            assert shares.sum() == pytest.approx(1)
            assert float(row['entropy']) == pytest.approx(-sum(s * math.log(s) for s in shares if s))
        assert scalars['train/pseudo_entropy'].current() == pytest.approx(float(rows[-1]['entropy']))
    pictures = {p.name for p in Path(runner.log_dir).rglob('*.png')}
    assert {'pseudo_labels_4.png', 'class_bias_target_4.png', 'training_0_1.png', 'training_0_3.png'} <= pictures
    assert runner.model.recorder.record is None and not runner.model.recorder.wanted


@pytest.mark.ci
def test_resumed_diffmatch_is_bit_identical(semi_config, run_config, tmp_path):
    """With all it carries from step to step: teacher, averaged statistics, moving class prior, CutMix draws."""

    def config(work_dir):
        cfg = semi_config(type='DiffMatch', threshold=0., cutmix=dict(), evaluate='teacher', hooks=[
            *TEACHER, dict(type='ClassPriorHook', cache_dir=str(tmp_path))])
        cfg.model.network = network_config(adjustment=dict(where='loss', prior='ema', momentum=0.5))
        cfg.work_dir, cfg.optim_wrapper.type = str(tmp_path / work_dir), 'BF16OptimWrapper'
        return cfg

    whole = run_config(config('whole'))
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth'))
    prior = whole.model.student.adjustment
    assert int(prior.ready) and not torch.equal(prior.prior, prior.counted)


@pytest.mark.ci
def test_resumed_unimatch_v2_is_bit_identical(semi_config, run_config, tmp_path):
    """Average, CutMix of the reversed batch and dropped channels, in bfloat16."""

    def config(work_dir):
        cfg = semi_config(type='UniMatchV2', threshold=0., mix=False, hooks=[dict(TEACHER[0], beta=0.996)])
        cfg.work_dir, cfg.optim_wrapper.type = str(tmp_path / work_dir), 'BF16OptimWrapper'
        return cfg

    whole = run_config(config('whole'))
    run_config(_stopping_after(config('part'), 2))
    cfg = config('part')
    cfg.resume = True
    run_config(cfg)
    assert_identical(state_of(tmp_path / 'whole' / 'iter_4.pth'), state_of(tmp_path / 'part' / 'iter_4.pth'))
    assert {'train/labeled.decode.loss_ce', 'train/strong1.loss_ce', 'train/strong2.loss_ce'} <= set(
        whole.message_hub.log_scalars)


@pytest.mark.ci
@pytest.mark.parametrize('method', ['FixMatch', 'UniMatch', 'DiffMatch'])
def test_logs_resume(semi_config, run_config, tmp_path, method):
    """A checkpoint in the middle of a window of pseudo-label counts: every log entry is that of the whole run."""

    def config(work_dir):
        hooks = [dict(type='PseudoLabelStatisticsHook', interval=1, window=2)]
        if method == 'DiffMatch':
            hooks = [*TEACHER, *hooks]
        cfg = semi_config(type=method, threshold=0., hooks=hooks, mix=method != 'DiffMatch')
        if method == 'DiffMatch':
            cfg.model.network = network_config()
        cfg.work_dir, cfg.default_hooks.checkpoint.interval = str(tmp_path / work_dir), 3
        return cfg

    whole = run_config(config('whole'))
    run_config(_stopping_after(config('part'), 3))
    cfg = config('part')
    cfg.resume = True
    resumed = run_config(cfg)
    ours, theirs = (x.message_hub.log_scalars for x in (resumed, whole))
    assert ours.keys() == theirs.keys() and 'train/pseudo_entropy' in ours
    for key in ours:
        if not key.endswith(('time', 'memory')):
            assert ours[key]._log_history.tolist() == theirs[key]._log_history.tolist(), key
    hook = next(h for h in resumed.hooks if hasattr(h, 'rows'))
    assert [row[0] for row in hook.rows] == [2, 4]


def test_statistics_work_with_self_training(tiny_config, run_config):
    cfg = tiny_config(method='DACS', max_iters=2)
    cfg.custom_hooks.append(dict(type='PseudoLabelStatisticsHook', interval=1, window=1))
    runner = run_config(cfg)
    rows = list(csv.reader(open(Path(runner.log_dir) / 'pseudo_labels.csv', newline='')))
    assert rows[0][4:] == CLASSES and len(rows) == 3
    assert sum(map(float, rows[1][4:])) == pytest.approx(1) or rows[1][1] == '0'


def test_counts_by_hand():
    labels = torch.tensor([[[0, 0, 1, 2, 255, 1]]])
    weight = torch.tensor([[[1., 1., .5, 0., 1., 1.]]])
    counts = pseudo_label_counts(labels, weight, 4)
    assert counts.tolist() == [2, 2, 0, 0, 6, 4.5], 'weight 0 and label 255 do not count'
    valid = torch.tensor([[[True, True, True, False, True, True]]])
    assert pseudo_label_counts(labels, weight, 4, valid).tolist()[4:] == [5, 4.5], 'padding is in no mean'
    row = histogram_row(7, counts.numpy(), 4)
    assert row == [7, 4, 0.75, pytest.approx(math.log(2)), 0.5, 0.5, 0, 0]
    nothing = histogram_row(7, np.zeros(6), 4)
    assert nothing[1] == 0 and all(math.isnan(v) for v in nothing[3:])


# ---------------------------------------------------------------- faults, before the first iteration
def test_image_in_both_lists(semi_config, run_config):
    cfg = semi_config(labeled=STEMS[:4], unlabeled=STEMS[3:])
    with pytest.raises(ValueError, match=r'1 of its images are in a labeled stream too.*03\.png'):
        run_config(cfg)


def test_wrong_id_in_any_label(semi_config, run_config, tmp_path):
    """All labels are read, not only those of the samples that are looked at."""
    cfg = semi_config(labeled=STEMS[:4], unlabeled=STEMS[4:])
    cfg.train_cfg.preflight_samples = 1
    root, folder = (cfg.train_dataloader.labeled.dataset[key] for key in ('data_root', 'data_prefix'))
    shutil.copytree(root, tmp_path / 'broken')
    path = tmp_path / 'broken' / folder.seg_map_path / f'{STEMS[2]}.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    label[0, 0] = 77
    cv2.imwrite(str(path), label)
    for stream in cfg.train_dataloader.values():
        stream.dataset.data_root = str(tmp_path / 'broken')
    with pytest.raises(ValueError, match=rf'stream "labeled".*{STEMS[2]}\.png.*77|77.*{STEMS[2]}\.png'):
        run_config(cfg)


def test_unlabeled_stream_smaller_than_a_batch(semi_config, run_config):
    cfg = semi_config(labeled=STEMS[:6], unlabeled=STEMS[6:9], batch=4)
    with pytest.raises(ValueError, match='stream "unlabeled" has 3 images, fewer than one batch of 4'):
        run_config(cfg)


def test_missing_list_names_both_commands(semi_config, run_config, tmp_path):
    cfg = semi_config()
    (tmp_path / 'splits/1_4/labeled.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'labeled\.txt.*make_split\.py folder .*--import-from'):
        run_config(cfg)


def test_missing_mask_and_wrong_id(semi_config, run_config, tiny_data, tmp_path):
    import shutil

    import cv2
    root = tmp_path / 'copy'
    shutil.copytree(tiny_data / 'target', root)
    cfg = semi_config()
    cfg.train_dataloader.labeled.dataset.data_root = str(root)
    (root / 'label/01.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'01\.png'):
        run_config(cfg)
    cv2.imwrite(str(root / 'label/01.png'), np.full((80, 96), 9, np.uint8))
    with pytest.raises(ValueError, match=r'01\.png.*9'):
        run_config(cfg)


def test_epoch_is_floor_of_unlabeled_over_batch(semi_config, run_config):
    cfg = semi_config(labeled=STEMS[:3], unlabeled=STEMS[3:], type='FixMatch', mix=False, cutmix=None)
    cfg.train_cfg = dict(type='MultiStreamTrainLoop', max_epochs=3, epoch_stream='unlabeled', val_interval=1)
    runner = run_config(cfg, train=False)
    loop = runner.build_train_loop(runner._train_loop)
    assert (loop.epoch_length, loop.max_iters, loop.val_interval) == (9 // 2, 12, 4)


def test_browse_streams_draws_strong_views(semi_config, tmp_path, monkeypatch):
    path = Path(__file__).resolve().parents[2] / 'tools/analysis_tools/browse_streams.py'
    spec = importlib.util.spec_from_file_location('browse_streams', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    file = tmp_path / 'config.py'
    semi_config().dump(file)
    assert tool.main([str(file), '--num', '2', '--out', str(tmp_path / 'look')]) == 0
    assert {p.name for p in (tmp_path / 'look').iterdir()} == {
        'labeled.png', 'unlabeled.png', 'unlabeled_mix.png', 'legend.png', 'strong_0.png'}


@pytest.mark.parametrize('main', [True, False])
def test_after_a_resume_every_process_takes_part_in_the_next_sum(monkeypatch, main):
    """One has the counts of all, the others zeros: one without counts would not meet the others in all_reduce."""
    from types import SimpleNamespace

    from mmseg_dg.engine.hooks import class_bias
    monkeypatch.setattr(class_bias, 'is_main_process', lambda: main)
    hub = SimpleNamespace(runtime_info={class_bias.KEPT: dict(counts=[3., 4., 7., 2.], rows=[])})
    dataset = SimpleNamespace(metainfo=dict(classes=['a', 'b']))
    runner = SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset), message_hub=hub, iter=5)
    hook = class_bias.PseudoLabelStatisticsHook(interval=10, window=100)
    hook.before_train(runner)
    assert hook._counts.tolist() == ([3., 4., 7., 2.] if main else [0.] * 4)


def test_class_pictures_of_a_mere_test_build_no_training_loop():
    """Its data need not be there."""
    from types import SimpleNamespace

    from mmseg_dg.engine.hooks.class_bias import ClassBiasPicturesHook

    class Runner(SimpleNamespace):

        @property
        def iter(self):
            raise AssertionError('the training loop would be built')

    drawn = []
    visualizer = SimpleNamespace(add_image=lambda name, picture, step: drawn.append((name, step)))
    metrics = {f'day/{key}.{name}': 50. for key in ('Share', 'IoU') for name in 'abc'}
    runner = Runner(visualizer=visualizer, _train_loop=dict(type='MultiStreamTrainLoop'),
                    test_dataloader=None, test_evaluator=None)
    ClassBiasPicturesHook().after_test_epoch(runner, metrics)
    assert drawn == [('class_bias_day', 0)]
