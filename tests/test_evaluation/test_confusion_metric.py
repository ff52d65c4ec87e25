"""The metric through mmengine's interface."""
import json
import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import get_classes
from PIL import Image

from mmseg_dg.evaluation import confusion_matrix, scores
from mmseg_dg.registry import METRICS

CITYSCAPES = get_classes('cityscapes')


def sample(prediction, label=None, img_path='frames/a.png'):
    data = SegDataSample(metainfo=dict(img_path=img_path))
    data.pred_sem_seg = PixelData(data=torch.as_tensor(prediction)[None])
    if label is not None:
        data.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
    return data


def random_samples(count, classes, seed=0, size=(12, 10)):
    rng = np.random.RandomState(seed)
    found = []
    for i in range(count):
        label = rng.randint(0, classes, size)
        prediction = np.where(rng.rand(*size) < 0.6, label, rng.randint(0, classes, size))
        label[0, :3] = 255
        found.append(sample(prediction, label, f'frames/{i}.png'))
    return found


def evaluator(classes=CITYSCAPES, **config):
    made = Evaluator(METRICS.build(dict(type='ConfusionMatrixMetric', **config)))
    made.dataset_meta = dict(classes=tuple(classes))
    return made


def run(made, samples, size=None):
    for i in range(0, len(samples), 2):
        made.process(samples[i:i + 2])
    return made.evaluate(len(samples) if size is None else size)


def total(samples, classes=19):
    return sum(confusion_matrix(s.pred_sem_seg.data[0], s.gt_sem_seg.data[0], classes) for s in samples)


@pytest.mark.claim('DAFormer')
def test_one_matrix_for_the_whole_dataset(recorded):
    record = recorded('metrics')
    made = evaluator()
    result = run(made, [sample(p, g) for p, g in zip(record['preds'], record['gts'])])
    assert result['mIoU'] == pytest.approx(100 * float(record['result']['IoU'].mean()), rel=1e-12)
    assert result['IoU.wall'] == pytest.approx(100 * float(record['result']['IoU'][3]), rel=1e-12)
    assert result['Acc.wall'] == pytest.approx(100 * float(record['result']['Acc'][3]), rel=1e-12)
    assert all(type(value) is float for value in result.values())
    assert len(result) == 3 + 2 * 19


def test_evaluating_again_starts_from_nothing():
    made, samples = evaluator(), random_samples(3, 19)
    first = run(made, samples)
    assert run(made, samples) == first


def test_agrees_with_mmseg():
    from mmseg.evaluation import IoUMetric
    samples = random_samples(5, 19, seed=4)
    theirs = Evaluator(IoUMetric(iou_metrics=['mIoU']))
    theirs.dataset_meta = dict(classes=CITYSCAPES)
    reference, ours = run(theirs, samples), run(evaluator(), samples)
    for key in ('mIoU', 'mAcc', 'aAcc'):
        assert ours[key] == pytest.approx(float(reference[key]), abs=0.0051)  # theirs is rounded


def test_synthia16_is_the_mean_of_16_of_the_19():
    samples = random_samples(4, 19, seed=2)
    iou = scores(total(samples)).iou
    left_out = [CITYSCAPES.index(name) for name in ('terrain', 'truck', 'train')]
    result = run(evaluator(classes_subset='synthia16'), samples)
    assert result['mIoU'] == pytest.approx(np.delete(iou, left_out).mean(), rel=1e-12)
    assert 'IoU.truck' not in result and result['IoU.bus'] == pytest.approx(iou[15])
    thirteen = run(evaluator(classes_subset='synthia13'), samples)
    assert thirteen['mIoU'] == pytest.approx(np.delete(iou, [*left_out, 3, 4, 5]).mean(), rel=1e-12)


def test_label_map_of_the_small_benchmark(shared):
    names = json.loads((shared / 'data' / 'classes.json').read_text())
    table = np.append(np.array(names['trainid_to_11'] + [255] * (255 - 19)), 255)
    samples = random_samples(4, 19, seed=3)
    result = run(evaluator(label_map=names['trainid_to_11'], scored_classes=names['classes11']), samples)
    matrix = sum(confusion_matrix(torch.from_numpy(table[s.pred_sem_seg.data[0]]),
                                  torch.from_numpy(table[s.gt_sem_seg.data[0]]), 11) for s in samples)
    direct = scores(matrix)
    assert result['mIoU'] == pytest.approx(direct.miou, rel=1e-12)
    assert result['IoU.bicyclist'] == pytest.approx(direct.iou[10], rel=1e-12)
    assert result['aAcc'] == pytest.approx(direct.aacc, rel=1e-12)
    assert sum(key.startswith('IoU.') for key in result) == 11


def test_labels_that_are_scored_ids_already():
    label = np.array([[0, 1], [1, 255]])
    prediction = np.array([[2, 0], [1, 3]])  # 2 -> 0 right, 0 -> 1 right, 1 -> 0 wrong
    made = evaluator(classes=['low', 'high'], label_map=[1, 0, 0, 1], scored_classes=['low', 'high'], map_labels=False)
    assert made.metrics[0].num_predicted == 4
    assert run(made, [sample(prediction, label)])['aAcc'] == pytest.approx(200 / 3)
    with pytest.raises(ValueError, match='map_labels=False.*3 classes'):
        evaluator(classes='abc', label_map=[1, 0], scored_classes=['low', 'high'], map_labels=False)


def test_predictions_mapped_to_ignore_are_wrong():
    made = evaluator(classes='abc', label_map={'a': 0, 'b': 1}, scored_classes=['A', 'B'])
    result = run(made, [sample([[0, 1, 2, 0]], [[0, 1, 0, 2]])])  # third is a miss, fourth has no scored label
    assert result['aAcc'] == pytest.approx(200 / 3)
    assert result['IoU.A'] == 50.0
    assert made.metrics[0].confusion.tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize('size, world', [(5, 2), (4, 2), (1, 4), (7, 3)])
def test_padding_of_the_last_batch_is_not_counted(size, world, monkeypatch):
    """Each simulated process holds what DefaultSampler gives it; together they score every image exactly once."""
    from mmengine.dataset import DefaultSampler

    from mmseg_dg.evaluation import confusion_metric
    samples = random_samples(size, 19, seed=size)
    vectors = []
    for turn in ('collect', 'score'):
        for rank in range(world):
            monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, world))
            monkeypatch.setattr(confusion_metric, 'get_dist_info', lambda rank=rank: (rank, world))
            mine = list(DefaultSampler(samples, shuffle=False))
            assert len(mine) == -(-size // world)
            if turn == 'collect':
                monkeypatch.setattr(confusion_metric, 'all_reduce', lambda flat: vectors.append(flat.clone()))
            else:
                monkeypatch.setattr(confusion_metric, 'all_reduce', lambda flat: flat.copy_(sum(vectors)))
            made = evaluator()
            result = run(made, [samples[i] for i in mine], size)
    assert int(sum(vectors)[-1]) == size
    assert result['mIoU'] == pytest.approx(scores(total(samples)).miou, rel=1e-12)
    np.testing.assert_array_equal(made.metrics[0].confusion[:, :19], total(samples))


def test_more_images_than_the_dataset_has():
    with pytest.raises(ValueError, match='scored 4 images.*DefaultSampler'):
        run(evaluator(), random_samples(4, 19), size=2)


def test_errors_name_the_file():
    ones = np.ones((4, 4), int)
    with pytest.raises(ValueError, match=r'frames/b\.png: the prediction is 4x4.*2x4'):
        run(evaluator(), [sample(ones, ones[:2], 'frames/b.png')])
    with pytest.raises(ValueError, match=r'frames/b\.png: label ids \[33\]'):
        run(evaluator(), [sample(ones, 33 * ones, 'frames/b.png')])
    with pytest.raises(ValueError, match=r'frames/b\.png has no label'):
        run(evaluator(), [sample(ones, None, 'frames/b.png')])
    with pytest.raises(ValueError, match='names no classes'):
        evaluator(classes=()).metrics[0].evaluate(0)


@pytest.mark.parametrize('config, text', [
    (dict(label_map=[0, 1]), 'belong together'),
    (dict(format_only=True), 'output_dir'),
])
def test_contradictory_arguments(config, text):
    with pytest.raises(ValueError, match=text):
        METRICS.build(dict(type='ConfusionMatrixMetric', **config))


def test_wrong_maps_are_found_before_the_first_image():
    with pytest.raises(ValueError, match='label_map has 2 entries for 19 classes'):
        evaluator(label_map=[0, 1], scored_classes=['x', 'y'])
    with pytest.raises(ValueError, match='synthia16'):
        evaluator(classes=['road', 'sky'], classes_subset='synthia16')


def test_saved_predictions(tmp_path):
    ids = np.array([[0, 1], [2, 1]])
    made = evaluator(classes='abc', output_dir=str(tmp_path / 'raw'))
    run(made, [sample(ids, ids, 'city/a.jpg')])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'raw' / 'a.png')), ids)
    official = evaluator(classes='abc', output_dir=str(tmp_path / 'official'), output_ids=[7, 8, 11], name_depth=2,
                         format_only=True)
    assert run(official, [sample(ids, None, 'city/a.jpg')]) == {}
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'official' / 'city' / 'a.png')),
                                  np.array([7, 8, 11])[ids])


def test_two_images_with_one_name(tmp_path):
    ids = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match=r'x/a\.png and y/a\.png.*name_depth=2'):
        run(evaluator(classes='a', output_dir=str(tmp_path)), [sample(ids, ids, f'{folder}/a.png') for folder in 'xy'])


def test_prefixes_tell_two_metrics_apart():
    metrics = [dict(type='ConfusionMatrixMetric'),
               dict(type='ConfusionMatrixMetric', classes_subset='synthia13', prefix='synthia13')]
    made = Evaluator(metrics)
    made.dataset_meta = dict(classes=CITYSCAPES)
    result = run(made, random_samples(2, 19))
    assert not math.isnan(result['synthia13/mIoU'])
    assert result['synthia13/mIoU'] != result['mIoU']
