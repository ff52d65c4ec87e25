"""Per-domain protocols: roles, whole and slide side by side, frames, and what the report says about the checkpoint."""
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from PIL import Image

from mmseg_dg.evaluation.protocols import build_protocols, evaluated_network
from mmseg_dg.evaluation.report import DomainReport, EvaluationReport, chosen_by, csv_rows, markdown_text
from mmseg_dg.utils.method import iteration_of

CLASSES, PALETTE = ('road', 'building', 'sky', 'car'), [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]
LOOP = {'val': 'MultiDomainValLoop', 'test': 'MultiDomainTestLoop'}


@pytest.fixture(autouse=True)
def _no_environment_report(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)


def three_domains(cfg, protocols):
    """One tiny config, three names of the same data, of which the last is the source."""
    one = cfg.val_dataloader.target
    for key in ('val', 'test'):
        cfg[f'{key}_dataloader'] = {name: deepcopy(one) for name in ('near', 'far', 'home')}
        cfg[f'{key}_cfg'] = dict(type=LOOP[key], protocols=protocols)
    return cfg


ROLES = dict(near=dict(role='target'), far=dict(role='target', note='seen from far'), home=dict(role='source'))


def texts(runner, stem):
    return (open(f'{runner.log_dir}/{stem}.md').read(), open(f'{runner.log_dir}/{stem}.csv').read())


@pytest.mark.ci
def test_sources_are_listed_apart(tiny_config, run_config):
    """A whole training: the checkpoint is chosen on the source, the mean runs over the targets."""
    cfg = three_domains(tiny_config('Supervised', max_iters=2), ROLES)
    cfg.default_hooks.checkpoint.save_best = 'home/mIoU'
    cfg.val_evaluator = dict(near=dict(type='ConfusionMatrixMetric'), home=dict(type='ConfusionMatrixMetric'),
                             far=dict(type='ConfusionMatrixMetric', classes_subset=['sky']))
    runner = run_config(cfg)
    scalars = {k: v.current() for k, v in runner.message_hub.log_scalars.items() if k.endswith('mIoU')}
    assert scalars['val/near/mIoU'] != scalars['val/far/mIoU']
    assert scalars['val/mean/mIoU'] == (scalars['val/near/mIoU'] + scalars['val/far/mIoU']) / 2
    text, table = texts(runner, 'evaluation_iter_2')
    assert "**No target domain's validation data chose the checkpoint.**" in text and '`home/mIoU`' in text
    assert '- **home** (12 images, source): its validation data chooses the best checkpoint' in text
    assert 'seen from far' in text
    header = next(line for line in text.splitlines() if line.startswith('| %'))
    assert [cell.strip() for cell in header.strip('|').split('|')] == ['%', 'near', 'far', 'mean', 'home (source)']
    assert 'home,12,source,yes' in table and 'near,12,target,no' in table and 'mean,24,' in table


@pytest.mark.parametrize('key, guilty', [('far/mIoU', 'far'), ('mean/mIoU', 'near, far')])
def test_a_target_that_chooses_is_named(tiny_config, run_config, key, guilty):
    cfg = three_domains(tiny_config('Supervised'), ROLES)
    cfg.default_hooks.checkpoint.save_best = key
    runner = run_config(cfg, train=False)
    runner.val()
    text, _ = texts(runner, 'evaluation_iter_0')
    assert f"**Target domains' validation data chose the checkpoint: {guilty}.**" in text


@pytest.mark.parametrize('name, keys, words', [
    ('iter_40000.pth', (), 'No score chose this checkpoint'),
    ('best_home_mIoU_iter_40000.pth', ('home/mIoU', ), 'by its name, chosen by: `home/mIoU`'),
    ('best_far_IoU.car_iter_5.pth', ('far/IoU.car', ), 'chosen by: `far/IoU.car`'),
    ('best_near_mIoU_iter_5.pth', ('near/mIoU', ), 'chosen by: `near/mIoU`'),
    ('best_night_mIoU_iter_5.pth', (), 'not among those of this evaluation'),
    ('final.pth', ('home/mIoU', 'far/IoU.car'), 'Its name does not tell how this checkpoint was chosen'),
    ('', ('home/mIoU', 'far/IoU.car'), 'Best checkpoint (`save_best`) chosen by: `home/mIoU`'),
])
def test_a_tested_checkpoint_tells_who_chose_it(name, keys, words):
    choice = chosen_by(name, ('home/mIoU', 'far/IoU.car'), ('near', 'far', 'home'))
    assert choice.keys == keys and words in choice.text
    assert choice.certain == (name != 'final.pth')


@pytest.mark.parametrize('selects, words', [(True, 'validation data chooses the checkpoint: near.'),
                                            (False, "no target domain's validation data chooses")])
def test_a_file_of_unknown_origin_claims_no_more_than_the_config(selects, words):
    report = EvaluationReport('Test', [DomainReport('near', 2, {'mIoU': 1.}, selects=selects, role='target')],
                              certain=False)
    assert '**By the config, ' in markdown_text(report) and words in markdown_text(report)
    report.certain = True
    assert 'By the config' not in markdown_text(report)


def test_report_without_roles_is_as_before():
    report = EvaluationReport('Title', [DomainReport('day', 2, {'mIoU': 1.})], {'mean/mIoU': 1.}, ())
    text = markdown_text(report)
    assert 'target domain' not in text and 'No score chooses a checkpoint' in text
    assert csv_rows(report)[0][:5] == ['domain', 'images', 'role', 'selects_checkpoint', 'note']


@pytest.mark.ci
@pytest.mark.parametrize('method', ['Supervised', 'DeFT'])
def test_whole_and_slide_side_by_side(tiny_config, run_config, method):
    """The same images whole and in windows: each equals the run in which all domains are predicted so.

    DeFT's pairs are made anew at each call.
    """
    slide = dict(mode='slide', crop_size=(48, 48), stride=(32, 32))

    def scores(protocols, test_cfg):
        cfg = three_domains(tiny_config(method, **(dict(warmup_iters=0) if method == 'DeFT' else {})), protocols)
        cfg.model.network.test_cfg = test_cfg
        runner = run_config(cfg, train=False)
        torch.manual_seed(0)
        for module in runner.model.modules():  # random maps, so that windows make a difference
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
        found = runner.val()
        assert evaluated_network(runner.model).test_cfg == test_cfg, 'the network has its own settings back'
        return [found[f'{name}/mIoU'] for name in ('near', 'far', 'home')]

    whole, windows = scores({}, dict(mode='whole')), scores({}, slide)
    assert whole != windows
    assert scores(dict(far=dict(test_cfg=slide)), dict(mode='whole')) == [whole[0], windows[0], whole[0]]
    assert scores(dict(home=dict(test_cfg=dict(mode='whole'))), slide) == [windows[0], windows[0], whole[0]]


@pytest.mark.parametrize('protocols, text', [
    (dict(moon=dict(role='target')), r"(?s)names \['moon'\]"),
    (dict(far=dict(rule='target')), r"unknown keys \['rule'\]"),
    (dict(far=dict(role='goal')), "role='goal'"),
    (dict(far=dict(test_cfg=dict(mode='whale'))), "mode='whale'"),
    (dict(far=dict(test_cfg=dict(mode='slide', stride=(8, 8)))), r"without \['crop_size'\]"),
])
def test_bad_protocols_stop_before_training(tiny_config, run_config, protocols, text):
    runner = run_config(three_domains(tiny_config('Supervised'), protocols), train=False)
    with pytest.raises(ValueError, match=text):
        runner.train()
    assert iteration_of(runner) == 0


def test_an_image_of_no_drive_stops_before_training(tiny_config, run_config):
    """It was found at the first evaluation, after the training up to there."""
    cfg = tiny_config('Supervised')
    cfg.val_evaluator = dict(type='DriveMetric', drive=r'(drive)_\d+')
    runner = run_config(cfg, train=False)
    with pytest.raises(ValueError, match=r'evaluator of validation domain "target": .*does not match'):
        runner.train()
    assert iteration_of(runner) == 0


def test_bad_domains_stop_before_training(tiny_config, run_config, tmp_path):
    cfg = three_domains(tiny_config('Supervised'), {})
    cfg.val_dataloader.far.dataset.metainfo = dict(classes=CLASSES[:2], palette=PALETTE[:2])
    runner = run_config(cfg, train=False)
    with pytest.raises(ValueError, match='(?s)"near" and "far" disagree on classes'):
        runner.train()
    cfg = three_domains(tiny_config('Supervised'), {})
    for part in ('img', 'label'):
        (tmp_path / 'none' / part).mkdir(parents=True)
    cfg.val_dataloader.far.dataset.data_root = str(tmp_path / 'none')
    cfg.work_dir += '_2'
    runner = run_config(cfg, train=False)
    with pytest.raises(ValueError, match='validation domain "far" has an empty dataset'):
        runner.train()
    cfg = three_domains(tiny_config('Supervised'), {})
    cfg.val_dataloader.far, cfg.work_dir = dict(batch_size=1), cfg.work_dir + '_3'
    runner = run_config(cfg, train=False)
    with pytest.raises(ValueError, match='far'):
        runner.train()


def test_scores_are_taken_in_the_frame(tiny_config, run_config):
    """Prediction and label inside a frame that cuts the width and fills the height."""
    cfg = tiny_config('Supervised')
    load, labels, pack = cfg.val_dataloader.target.dataset.pipeline
    cfg.val_dataloader.target.dataset.pipeline = [
        load, labels, dict(type='ResizeToHeight', height=40), dict(type='CenterCropPad', size=(64, 32)), pack]
    cfg.visualizer = dict(type='SegmentationVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.default_hooks.visualization = dict(type='SegVisualizationHook', draw=True, interval=6)
    runner = run_config(cfg, train=False)
    runner.val()
    picture = Image.open(next(Path(runner.work_dir).glob('*/vis_data/vis_image/*.png')))
    assert picture.height == 64, 'pictures show the frame'
    matrix = runner.val_loop.evaluator['target'].metrics[0].confusion
    samples = [runner.val_dataloader['target'].dataset[i]['data_samples'] for i in range(12)]
    assert {tuple(s.ori_shape) for s in samples} == {(64, 32)} == {tuple(s.gt_sem_seg.shape) for s in samples}
    kept = sum(int((s.gt_sem_seg.data != 255).sum()) for s in samples)
    assert matrix.sum() == kept <= 12 * 40 * 32, 'padding is not scored'


def test_unnamed_domains_have_no_protocol():
    protocols = build_protocols(ConfigDict(near=dict(role='target')), ('near', 'far'))
    assert protocols['near'].role == 'target' and protocols['far'].role == '' and protocols['far'].test_cfg is None
