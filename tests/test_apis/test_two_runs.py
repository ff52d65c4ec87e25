"""Two trainings in one process, and images with one name: nothing is written to another's place."""
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from mmseg_dg.apis import build_runner
from mmseg_dg.datasets import FolderDataset, SeededDataset
from mmseg_dg.datasets.output_names import output_names


@pytest.mark.ci
def test_two_runs_built_together_write_apart(tiny_config, tmp_path):
    cfg = tiny_config(max_iters=2, val_interval=50)
    cfg.visualizer = dict(type='SegmentationVisualizer', name='visualizer',
                          vis_backends=[dict(type='LocalVisBackend')])
    cfg.custom_hooks.append(dict(type='TrainingPicturesHook', interval=1))
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.log_level = 'INFO'
    runners = [build_runner(cfg, str(tmp_path / name), {'train_cfg.max_iters': length})
               for name, length in (('one', 3), ('two', 2))]
    assert len({runner.experiment_name for runner in runners}) == 2, 'although they began in one second'
    for runner in runners:
        runner.train()
    for name, length in (('one', 3), ('two', 2)):
        lines = [line for path in (tmp_path / name).rglob('scalars.json') for line in path.open()]
        assert len(lines) == length, f'{name}: its own scalars, and all of them'
        assert len(list((tmp_path / name).rglob('vis_image/training_0_*.png'))) == length
        logs = ''.join(path.read_text() for path in (tmp_path / name).glob('*/*.log'))
        assert logs.count('(train) [') == length


def test_equal_names_keep_their_folders(tiny_config, run_config, tiny_data, tmp_path):
    root = tmp_path / 'own'
    for kind in ('img', 'label'):
        for i, folder in enumerate('ab'):
            (root / kind / folder).mkdir(parents=True)
            shutil.copy(tiny_data / 'target' / kind / f'0{i}.png', root / kind / folder / '1.png')
    cfg = tiny_config()
    cfg.test_dataloader.target.dataset.data_root = str(root)
    cfg.test_evaluator.output_dir = str(tmp_path / 'out')
    cfg.visualizer = dict(type='SegmentationVisualizer', save_dir=str(tmp_path / 'shown'),
                          vis_backends=[dict(type='LocalVisBackend')])
    cfg.default_hooks.visualization = dict(type='SegVisualizationHook', draw=True, interval=1)
    run_config(cfg, train=False).test()
    shown = sorted((tmp_path / 'shown').rglob('*.png'))
    assert [path.parent for path in shown] == [tmp_path / 'shown' / 'vis_data' / 'vis_image' / f for f in 'ab']
    # the number is the library's: mmseg draws a domain's pictures as number 0, its maintained fork counts them from 1
    assert all(re.fullmatch(r'target_test_1\.png_\d\.png', path.name) for path in shown)
    saved = {folder: np.asarray(Image.open(tmp_path / 'out' / folder / '1.png')) for folder in 'ab'}
    assert all(ids.shape == (80, 96) for ids in saved.values())


def test_names_below_the_image_folder(tmp_path):
    def dataset(folder, *names):
        for name in names:
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).touch()
        return FolderDataset(['a'], data_root=str(tmp_path), data_prefix=dict(img_path=folder), pipeline=[])

    one = dataset('x/img', 'a/1.png', 'b/1.png', 'b/1.jpg')
    assert sorted(output_names(one).values()) == ['a/1', 'b/1.jpg', 'b/1.png']
    from mmengine.dataset import ConcatDataset
    both = SeededDataset(ConcatDataset([one, dataset('y/img', 'a/1.png')]))
    assert sorted(output_names(both).values()) == ['x/img/a/1', 'x/img/b/1.jpg', 'x/img/b/1.png', 'y/img/a/1']


def test_folders_whose_names_end_in_dots_keep_them(tmp_path):
    """Only ``..`` itself goes from the names of images outside the image folder."""
    from mmseg_dg.datasets.output_names import _below
    root = str(tmp_path / 'img')
    assert _below(str(tmp_path / 'b..' / '1.png'), root) == 'b../1.png'
    assert _below(str(tmp_path / 'b' / '1.png'), root) == 'b/1.png'
