"""Label-free scores in use: a training that follows them, predictions of a folder, a test, a study's order."""
import csv

import pytest
import torch
from mmengine.config import Config, ConfigDict

from mmseg_dg.apis import load_model
from mmseg_dg.apis.label_free import add_label_free, images_only
from mmseg_dg.apis.launch import save_predictions
from mmseg_dg.apis.predict_files import predict_files
from mmseg_dg.apis.study_tables import ranking
from mmseg_dg.engine.hooks import DomainCheckpointHook
from mmseg_dg.evaluation import LabelFreeMetric


@pytest.mark.ci
def test_a_training_keeps_the_best_checkpoint_without_a_label_of_the_target(tiny_config, run_config, tmp_path):
    cfg = tiny_config()
    data = cfg.val_dataloader.target.dataset
    data.update(type='UnlabeledImageDataset', data_prefix=dict(img_path='img'))
    data.pop('seg_map_suffix')
    data.pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg.val_evaluator = dict(type='LabelFreeMetric', prior='source')
    cfg.default_hooks.checkpoint.save_best = 'target/label_free'
    runner = run_config(cfg)
    best = list((tmp_path / 'run').glob('best_target_label_free_iter_*.pth'))
    assert len(best) == 1
    tables = {int(path.stem.split('_')[-1]): float(next(csv.DictReader(path.open()))['label_free'])
              for path in (tmp_path / 'run').glob('*/evaluation_iter_*.csv')}
    assert sorted(tables) == [2, 4]
    assert best[0].stem.endswith(f'_{max(tables, key=lambda n: (tables[n], -n))}')
    metric = runner.val_loop.evaluator['target'].metrics[0]
    assert metric._prior.sum() > 0 and metric.combine == ('info_max', 'flip_agreement', 'class_balance')


@pytest.fixture(scope='module')
def model(tiny_config_in, tmp_path_factory):
    return load_model(tiny_config_in(tmp_path_factory.mktemp('model')), device='cpu')


def test_predictions_of_a_folder_come_with_scores(model, tiny_data, tmp_path):
    folder = tiny_data / 'target' / 'img'
    written = predict_files(model, folder, tmp_path / 'out', batch_size=3, label_free=True)
    rows = list(csv.DictReader(open(written.label_free, newline='')))
    assert len(rows) == written.images + 1 and rows[-1]['image'] == 'all'
    assert [row['image'] for row in rows[:2]] == [str(path) for path in sorted(folder.iterdir())[:2]]
    # images of one size: the whole's entropy is the mean of theirs
    mean = sum(float(row['entropy']) for row in rows[:-1]) / written.images
    assert float(rows[-1]['entropy']) == pytest.approx(mean, rel=1e-6)
    assert float(rows[-1]['teacher_agreement']) == 100  # a fresh teacher is the student
    assert not (tmp_path / 'none').exists() and predict_files(
        model, folder / sorted(folder.iterdir())[0].name, tmp_path / 'none').label_free is None


def test_scores_do_not_hang_on_the_batch_size(model, tiny_data):
    from mmseg_dg.apis.inference import iter_predict
    from mmseg_dg.apis.label_free import LabelFreeTable
    found = []
    for size in (1, 4):
        table = LabelFreeTable(model)
        list(iter_predict(model, str(tiny_data / 'target' / 'img'), size, observe=table))
        found.append(table.metric.evaluate(table.images))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def config(evaluator):
    loader = dict(dataset=dict(type='CityscapesDataset'))
    bare = dict(dataset=dict(type='RepeatDataset', dataset=dict(type='FolderDataset', data_prefix=dict(img_path='a'))))
    return Config(dict(test_dataloader=dict(city=loader, bare=bare), test_evaluator=evaluator))


def kinds(metrics):
    return [metric['type'] for metric in metrics]


def test_domains_without_masks_are_scored_without_labels_alone():
    cfg = config(dict(type='ConfusionMatrixMetric'))
    add_label_free(cfg)
    assert kinds(cfg.test_evaluator.city) == ['ConfusionMatrixMetric', 'LabelFreeMetric']
    assert kinds(cfg.test_evaluator.bare) == ['LabelFreeMetric']
    save_predictions(cfg, 'there')
    assert cfg.test_evaluator.city[0].output_dir == 'there' and 'output_dir' not in cfg.test_evaluator.city[1]
    assert kinds(cfg.test_evaluator.bare) == ['LabelFreeMetric', 'ConfusionMatrixMetric']
    assert cfg.test_evaluator.bare[1].format_only and cfg.test_evaluator.bare[1].output_dir == 'there'
    own = dict(type='LabelFreeMetric', flip=False)
    cfg = config(dict(city=dict(metrics=[dict(type='ConfusionMatrixMetric'), own]), bare=own))
    add_label_free(cfg)
    assert len(cfg.test_evaluator.city) == 2 and cfg.test_evaluator.bare == [own]
    single = Config(dict(test_dataloader=dict(dataset=dict(type='UnlabeledImageDataset')), test_evaluator=[]))
    add_label_free(single)
    assert kinds(single.test_evaluator) == ['LabelFreeMetric']
    with pytest.raises(ValueError, match='no test_dataloader'):
        add_label_free(Config(dict(model=dict())))


def test_evaluators_of_no_domain_are_refused():
    """A misspelt name would drop the mIoU of its domain silently."""
    mask = dict(type='ConfusionMatrixMetric')
    for evaluators, words in ((dict(ciyt=mask), r"without dataloader: \['ciyt'\].*without evaluator: \['city'\]"),
                              (dict(city=mask, night=mask), r"without dataloader: \['night'\]"),
                              (dict(bare=[]), r"without evaluator: \['city'\]")):
        with pytest.raises(ValueError, match=words):
            add_label_free(config(evaluators))
    cfg = config(dict(city=mask))  # images alone need no evaluator of their own
    add_label_free(cfg)
    assert kinds(cfg.test_evaluator.bare) == ['LabelFreeMetric']


def test_the_report_says_that_a_score_without_a_prior_is_another_one():
    assert 'no prior is given' in LabelFreeMetric().note and 'info_max, flip_agreement;' in LabelFreeMetric().note
    assert 'class_balance;' in LabelFreeMetric(prior=[1, 1]).note and 'no prior' not in LabelFreeMetric(prior=[1]).note


def test_what_counts_as_images_only():
    folder = dict(type='FolderDataset', data_prefix=dict(img_path='a', seg_map_path='b'))
    assert not images_only(folder) and not images_only(ConfigDict(type='ConcatDataset', datasets=[folder]))
    assert images_only(ConfigDict(type='ConcatDataset', datasets=[folder, dict(type='UnlabeledImageDataset')]))


def test_test_time_augmentation_is_refused_with_a_way_out():
    from mmseg.models import SegTTAModel
    augmented = SegTTAModel.__new__(SegTTAModel)
    torch.nn.Module.__init__(augmented)
    with pytest.raises(ValueError, match='flip=False'):
        LabelFreeMetric().use_model(augmented, None)
    LabelFreeMetric(flip=False, teacher=False).use_model(augmented, None)


def row(setting, metric, mean):
    return dict(setting=setting, metric=metric, mean=mean, std='', runs=1, values='')


def test_a_study_orders_its_settings_without_labels():
    rows = [row('a', 't/mIoU', 50.), row('a', 't/label_free', 60.), row('a', 't/entropy', 9.),
            row('b', 't/mIoU', 40.), row('b', 't/label_free', 70.), row('b', 't/entropy', 10.)]
    text = ranking(rows)
    assert text.index('| 1 | b | 70.00') < text.index('| 2 | a | 60.00') and 'No label of the target' in text
    assert '| 1 | a | 9.00' in ranking(rows, 't/entropy')  # less is better
    assert '| 1 | a | 50.00' in ranking(rows, 't/mIoU') and 'No label' not in ranking(rows, 't/mIoU')
    assert ranking(rows[:3]) == '' and ranking([row('a', 't/mIoU', 1.), row('b', 't/mIoU', 2.)]) == ''
    assert '## Ranked by mean/label_free' in ranking([*rows, row('a', 'mean/label_free', 1.)])
    with pytest.raises(ValueError, match='--rank-by x/y'):
        ranking(rows, 'x/y')


@pytest.mark.parametrize('score', ['entropy', 'ECE', 'AURC', 'risk.90', 'calibration/risk.50', 'noise_loss'])
def test_less_of_some_scores_ranks_first(score):
    text = ranking([row('bad', f't/{score}', 50.), row('good', f't/{score}', 5.)], f't/{score}')
    assert '| 1 | good | 5.00' in text and 'less is better' in text
    assert DomainCheckpointHook(interval=1, save_best=f't/{score}').rules == ['less']


def test_a_table_of_scores_with_a_prefix_has_one_column_each(model, tmp_path):
    """Rows of images and the row of all have the same columns, whatever the metric calls its scores."""
    import numpy as np

    from mmseg_dg.apis.inference import iter_predict
    from mmseg_dg.apis.label_free import LabelFreeTable
    table = LabelFreeTable(model, prefix='street')
    images = [np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8) for seed in range(2)]
    list(iter_predict(model, images, observe=table))
    rows = list(csv.DictReader(open(table.write(tmp_path / 'label_free.csv'), newline='')))
    assert [row['image'] for row in rows][-1] == 'all' and len(rows) == 3
    assert 'entropy' in rows[0] and not any('street' in key for key in rows[0])
    assert all(float(row['entropy']) >= 0 for row in rows)
