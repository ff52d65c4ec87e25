"""One crop size for all streams, and the warning where padding fills the crops."""
import logging
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_dg.datasets.crop_setting import training_loaders, with_crop_size
from mmseg_dg.datasets.padding import padding_of
from mmseg_dg.registry import TRANSFORMS


def loaders():
    steps = [dict(type='LoadImageFromFile'), dict(type='Pad', pad_val=0), dict(type='Pad', size_divisor=32),
             dict(type='RandomApply', transforms=[dict(type='RandomCrop')]),
             dict(type='RareClassCrop', crop_size=(9, 9))]
    return dict(source=dict(dataset=dict(type='RepeatDataset', dataset=dict(pipeline=steps))),
                target=dict(dataset=dict(pipeline=[dict(type='RandomCrop')])))


def test_crops_and_pads_without_a_size_get_it_and_the_config_stays():
    given = loaders()
    found = with_crop_size(given, (48, 64))
    steps = found['source']['dataset']['dataset']['pipeline']
    assert steps[1]['size'] == (64, 48), 'mmcv pads to (width, height)'
    assert 'size' not in steps[2] and steps[3]['transforms'][0]['crop_size'] == (48, 64)
    assert found['target']['dataset']['pipeline'][0]['crop_size'] == (48, 64)
    assert steps[4]['crop_size'] == (9, 9), 'a pipeline that states a size keeps it'
    assert given == loaders()
    assert with_crop_size(given, None) is given
    assert training_loaders(dict(train_dataloader=given, train_cfg=dict(crop_size=8)))['target']['dataset'][
        'pipeline'][0]['crop_size'] == (8, 8)
    for wrong in ((48, ), 0, (4, 2.5), 'x', True):
        with pytest.raises(ValueError, match='train_cfg.crop_size'):
            with_crop_size(given, wrong)


def test_whatever_builds_a_training_dataset_knows_the_setting(tmp_path, monkeypatch, capsys):
    from mmseg_dg.engine.loops.class_counts import class_counts
    monkeypatch.setenv('MMSEG_DG_CACHE', str(tmp_path / 'cache'))
    for kind, array in (('img', np.full((40, 60, 3), 90, np.uint8)), ('seg', np.ones((40, 60), np.uint8))):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / '0.png'), array)
    steps = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Pad', pad_val=0),
             dict(type='RandomCrop'), dict(type='PackStreamInputs')]
    dataset = dict(type='FolderDataset', classes=['a', 'b'], data_root=str(tmp_path), pipeline=steps,
                   data_prefix=dict(img_path='img', seg_map_path='seg'))
    cfg = dict(default_scope='mmseg_dg', train_cfg=dict(crop_size=32), train_dataloader=dict(source=dict(
        dataset=dataset)))
    assert class_counts(cfg, 'source').tolist() == [0, 2400]  # LabelFreeMetric(prior='source')
    file = tmp_path / 'config.py'
    file.write_text('\n'.join(f'{key} = {value!r}' for key, value in cfg.items()))
    for tool, said in (('class_statistics', 'source: 1 images, 2400 labeled'), ('channel_statistics', 'mean=')):
        path = Path(__file__).parents[2] / f'tools/analysis_tools/{tool}.py'
        monkeypatch.setattr('sys.argv', [str(path), str(file)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name='__main__')
        assert not ended.value.code and said in capsys.readouterr().out


def folder_dataset(root, crop, size=(40, 60)):
    from mmseg_dg.registry import DATASETS
    (root / 'img').mkdir(exist_ok=True)
    for i in range(3):
        cv2.imwrite(str(root / 'img' / f'{i}.png'), np.full((*size, 3), 90, np.uint8))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Pad', pad_val=0), dict(type='RandomCrop'),
                dict(type='PackStreamInputs')]
    config = with_crop_size(dict(dataset=dict(type='FolderDataset', classes=['a', 'b'], data_root=str(root),
                                              data_prefix=dict(img_path='img'), pipeline=pipeline)), crop)
    return DATASETS.build(config['dataset'])


def test_padding_is_measured(tmp_path):
    found = padding_of(folder_dataset(tmp_path, (80, 120)))
    assert found.share == pytest.approx(0.75) and found.image == (40, 60) and found.better == (32, 32)
    assert 'padding fills 75 % of the crops' in found.text and 'train_cfg.crop_size=(32, 32)' in found.text
    assert padding_of(folder_dataset(tmp_path, (32, 32))).share == 0
    # 40 rows of a crop of 64, all of 32 columns
    assert padding_of(folder_dataset(tmp_path, (64, 32))).share == pytest.approx(1 - 40 / 64)


def test_the_log_warns_of_padding(tmp_path, monkeypatch):
    from mmseg_dg.engine.preflight import padding
    said = []
    monkeypatch.setattr(padding, 'print_log', lambda text, logger=None, level=0: said.append((level, text)))

    class Loader:
        def __init__(self, crop):
            self.dataset = folder_dataset(tmp_path, crop)

    padding.warn_padding(dict(source=Loader((80, 120)), target=Loader((32, 32))))
    assert [level for level, _ in said] == [logging.WARNING] and said[0][1].startswith('stream "source": padding')


@pytest.mark.parametrize('pad, padded', [
    (dict(size_divisor=32), (64, 128)), (dict(pad_to_square=True), (120, 120)), (dict(size=(120, 64)), (64, 120))])
def test_padding_to_a_multiple_a_square_or_a_size(tmp_path, pad, padded):
    """Rows and columns are not exchanged: images of 40x120 (height x width), crop as large as what is padded."""
    dataset = folder_dataset(tmp_path, padded, (40, 120))
    dataset.pipeline.transforms[1] = TRANSFORMS.build(dict(type='Pad', **pad))
    found = padding_of(dataset)
    assert found.share == pytest.approx(1 - 40 * 120 / (padded[0] * padded[1])) and found.image == (40, 120)
