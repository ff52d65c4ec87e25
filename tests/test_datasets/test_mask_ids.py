"""Masks of one class, of 0 and 255, and with more ids than 8 bits hold."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_dg.datasets import FolderDataset
from mmseg_dg.datasets.checks import check_leaf
from mmseg_dg.evaluation.confusion_metric import ConfusionMatrixMetric


@pytest.fixture
def folder(tmp_path):
    """``folder(ids, classes, **kwargs)``: a labeled dataset whose masks have these ids."""

    def make(ids, classes, **kwargs):
        for part in ('images', 'masks'):
            (tmp_path / part).mkdir(exist_ok=True)
        for i in range(3):
            label = np.resize(np.asarray(ids, np.uint8), (8, 8))
            cv2.imwrite(str(tmp_path / 'masks' / f'{i}.png'), label)
            cv2.imwrite(str(tmp_path / 'images' / f'{i}.png'), np.zeros((8, 8, 3), np.uint8))
        kwargs.setdefault('pipeline', [dict(type='LoadAnnotations')])
        return FolderDataset(classes=classes, data_root=str(tmp_path), data_prefix=dict(
            img_path='images', seg_map_path='masks'), **kwargs)

    return make


@pytest.mark.parametrize('ids', [(0, 255), (0, 1), (3, 7)])
def test_one_class_is_refused_with_advice_that_works(folder, ids):
    dataset = folder(ids, ['crack'])
    with pytest.raises(ValueError, match=r"'crack' is the only class.*3 of 3 masks .*\d\.png.*classes=\['background', "
                                         r"'crack'\]") as error:
        check_leaf(dataset)
    assert str(list(ids)) in str(error.value)
    given = dict(zip(map(str, ids), (0, 1))) if ids == (3, 7) else {'255': 1} if 255 in ids else {}
    assert all(f"'{k}': {v}" in str(error.value) for k, v in given.items()) or ids == (3, 7)
    check_leaf(folder(ids, ['background', 'crack'], label_map=given))


def test_one_class_without_labels_and_with_a_map(folder):
    check_leaf(folder((0, 255), ['crack'], pipeline=[dict(type='LoadImageFromFile')]))  # nothing to compare
    with pytest.raises(ValueError, match=r"255: 1.*name the background too: classes=\['background'"):
        folder((0, 255), ['crack'], label_map={255: 1})
    with pytest.raises(ValueError, match=r"class 1 \('crack'\).*label_map=\{255: 1\}"):
        check_leaf(folder((0, 255), ['background', 'crack'], label_map={}))


def test_more_classes_than_masks_can_name(folder):
    assert len(folder((3, 254), [f'kind {i}' for i in range(255)]).metainfo['classes']) == 255
    with pytest.raises(ValueError, match=r'256 classes, .*at most 255 .*label_map'):
        folder((3, 255), [f'kind {i}' for i in range(256)])


@pytest.mark.parametrize('count, bits', [(255, 8), (256, 8), (300, 16)])
def test_saved_predictions_never_wrap(tmp_path, count, bits):
    metric = ConfusionMatrixMetric(output_dir=str(tmp_path), format_only=True)
    metric.dataset_meta = dict(classes=tuple(map(str, range(count))))
    for name, ids in (('low', [[0, 1]]), ('high', [[0, count - 1]])):
        metric.process({}, [dict(img_path=f'{name}.jpg', pred_sem_seg=dict(data=torch.tensor([ids])))])
        saved = Image.open(tmp_path / f'{name}.png')
        assert np.asarray(saved).tolist() == ids and np.asarray(saved).dtype.itemsize * 8 == bits


def test_saved_official_ids_never_wrap(tmp_path):
    metric = ConfusionMatrixMetric(output_dir=str(tmp_path), format_only=True, output_ids=[7, 1000])
    metric.process({}, [dict(img_path='a.jpg', pred_sem_seg=dict(data=torch.tensor([[[0, 1]]])))])
    assert np.asarray(Image.open(tmp_path / 'a.png')).tolist() == [[7, 1000]]
    for ids in ([0, -1], [0, 70000]):
        with pytest.raises(ValueError, match=r'output_ids run from .*0\.\.65535'):
            ConfusionMatrixMetric(output_dir=str(tmp_path), format_only=True, output_ids=ids)


def test_binary_masks_of_a_validation_domain_are_refused(tiny_config, tiny_data, run_config, tmp_path):
    import shutil
    shutil.copytree(tiny_data / 'target', tmp_path / 'binary')
    for path in (tmp_path / 'binary' / 'label').glob('*.png'):
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(label == 1, 255, 0).astype(np.uint8))
    cfg = tiny_config('Supervised')
    loaders = dict(own=dict(cfg.val_dataloader.target, dataset=dict(
        type='FolderDataset', classes=['background', 'object'], data_root=str(tmp_path / 'binary'),
        data_prefix=dict(img_path='img', seg_map_path='label'), pipeline=cfg.val_dataloader.target.dataset.pipeline)))
    cfg.model.network.decode_head.num_classes = 2
    cfg.val_dataloader = cfg.test_dataloader = loaders
    with pytest.raises(ValueError, match=r'validation domain "own": .*binary 0/255 masks.*label_map=\{255: 1\}'):
        run_config(cfg, train=False).val()


# ---------------------------------------------------------------- what a child config can replace
def nones(node, path=''):
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        if value is None:
            yield f'{path}{key}'
        yield from nones(value, f'{path}{key}.')


def test_bases_and_recipes_hold_no_none():
    """mmengine merges no dict into None: such keys are left out, the default of the argument says the same."""
    from mmseg_dg.weights.files import PACKAGE
    configs = PACKAGE.parent / 'configs'
    files = [p for room in ('_base_', 'custom', 'demo') for p in sorted((configs / room).rglob('*.py'))]
    assert len(files) > 100
    found = {path.name: keys for path in files if path.name != 'weights.py'  # a table, nobody's base
             if (keys := list(nones(Config.fromfile(path)._cfg_dict.to_dict())))}
    # values of their own that no dict replaces: PyTorch's default initialization, as UniMatch's heads have it; CutMix
    # with the reversed batch
    plain = ('init_cfg', 'mix_stream')
    found = {name: kept for name, keys in found.items() if (kept := [k for k in keys if not k.endswith(plain)])}
    assert not found


def test_a_dict_replaces_none_and_ids_are_keys(tmp_path):
    """Leaves switch parts off by None; a child, or --cfg-options, switches them on again."""
    (tmp_path / 'base.py').write_text(
        'model = dict(part=None, deep=dict(part=None, list=[dict(part=None)]), kept=1)\n')
    (tmp_path / 'child.py').write_text(
        "_base_ = './base.py'\nmodel = dict(part=dict(_delete_=True, map={255: 1}), deep=dict(part=dict(a=1)), "
        'new=dict(_delete_=True, inner=dict(_delete_=True, b=2)))\n')
    cfg = Config.fromfile(tmp_path / 'child.py')
    assert cfg.model.to_dict() == dict(part=dict(map={255: 1}), deep=dict(part=dict(a=1), list=[dict(part=None)]),
                                       kept=1, new=dict(inner=dict(b=2)))
    cfg.merge_from_dict({'model.part.map': {255: 2, 7: 0}, 'model.deep.list.0.part': dict(c=3)})
    assert cfg.model.part.map == {255: 2, 7: 0} and cfg.model.deep.list[0].part.c == 3
    assert Config.fromstring(cfg.dump(), '.py').model.part.map  # written and read again
