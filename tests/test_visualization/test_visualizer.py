"""The visualizer without class names on the picture."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.registry import VISUALIZERS
from mmseg_dg.visualization import SegmentationVisualizer


def draw(visualizer, path, **kwargs):
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 40, 60, dtype=torch.int64))
    visualizer.dataset_meta = dict(classes=('road', 'sky'), palette=[[0, 0, 0], [200, 100, 40]])
    visualizer.add_datasample('x', np.zeros((40, 60, 3), np.uint8), sample, out_file=str(path), **kwargs)
    import cv2
    return cv2.imread(str(path))[..., ::-1]


def test_names_are_written_only_when_wanted(tmp_path, monkeypatch):
    plain = VISUALIZERS.build(dict(type='SegmentationVisualizer', name='plain', alpha=1.0))
    slow = []
    monkeypatch.setattr(SegmentationVisualizer, '_get_center_loc',
                        lambda self, mask: slow.append(1) or np.array([0, 0]))
    picture = draw(plain, tmp_path / 'a.png')
    assert (picture == [200, 100, 40]).all() and not slow
    draw(plain, tmp_path / 'b.png', with_labels=True)
    assert slow == [1]
    named = VISUALIZERS.build(dict(type='SegmentationVisualizer', name='named', with_labels=True))
    draw(named, tmp_path / 'c.png')
    assert slow == [1, 1]


def test_a_sample_says_its_domain_and_folder(tmp_path):
    visualizer = SegmentationVisualizer('prefixed', vis_backends=[dict(type='LocalVisBackend')],
                                        save_dir=str(tmp_path))
    sample = SegDataSample(metainfo=dict(domain='night', picture='b/a'))
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, 4, 6, dtype=torch.int64))
    visualizer.add_datasample('val_a.png', np.zeros((4, 6, 3), np.uint8), sample, step=3)
    assert (tmp_path / 'vis_data' / 'vis_image' / 'b' / 'night_val_a.png_3.png').is_file()


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError):
        SegmentationVisualizer('typo', with_label=True)
