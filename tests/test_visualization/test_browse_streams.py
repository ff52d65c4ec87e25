"""The pictures of streams show what training loads and mixes."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_dg.utils.seeding import StepGenerator
from mmseg_dg.visualization import legend, mixed_grid, stream_grid
from mmseg_dg.visualization.stream_pictures import overlay

PALETTE = [[200, 0, 0], [0, 0, 200]]


@pytest.fixture(scope='module')
def tool():
    path = Path(__file__).resolve().parents[2] / 'tools/analysis_tools/browse_streams.py'
    spec = importlib.util.spec_from_file_location('browse_streams', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample(labeled=True, mask=False, **meta):
    info = SegDataSample(metainfo=dict(img_path='a/b.png', **meta))
    if labeled:
        info.gt_sem_seg = PixelData(data=torch.tensor([[[0, 1, 255, 0]] * 4]))
    if mask:
        info.valid_pseudo_mask = PixelData(data=torch.ones(1, 4, 4, dtype=torch.uint8))
    return dict(inputs=torch.full((3, 4, 4), 100, dtype=torch.uint8), data_samples=info)


def test_overlay():
    painted = overlay(np.full((1, 3, 3), 100, np.uint8), torch.tensor([[0, 1, 255]]), PALETTE)
    assert painted.tolist() == [[[150, 50, 50], [50, 50, 150], [50, 50, 50]]]


def test_stream_grid_has_the_columns_the_samples_have():
    narrow = stream_grid([sample(False)], PALETTE, tile=64)
    wide = stream_grid([sample(True, wanted_class=1)] * 2, PALETTE, ['road', 'car'], tile=64)
    widest = stream_grid([sample(True, mask=True)] * 2, PALETTE, tile=64)
    assert narrow.shape[1] < wide.shape[1] < widest.shape[1] and narrow.shape[0] < wide.shape[0]
    with pytest.raises(ValueError, match='at least one'):
        stream_grid([], PALETTE)


def test_mixed_grid_and_legend():
    stream = dict(inputs=torch.zeros(2, 3, 8, 8))
    state = dict(mixed_image=torch.zeros(2, 3, 8, 8), mixed_label=torch.zeros(2, 8, 8, dtype=torch.long),
                 mixed_weight=torch.ones(2, 8, 8))
    picture = mixed_grid(dict(source=stream, target=stream), state, [90.] * 3, [1.] * 3, PALETTE, tile=8)
    assert (picture == 90).all(axis=2).sum() == 2 * 3 * 64  # three images in two rows
    names = legend(['road', 'car'], PALETTE)
    assert names[11, 10].tolist() == PALETTE[0] and names[33, 10].tolist() == PALETTE[1]


def test_mixed_images_are_those_of_training(tool, tiny_config, run_config, tmp_path):
    """Same batch, same draws: the mixed image does not depend on the teacher."""
    cfg = tiny_config(max_iters=3)
    runner = run_config(cfg, train=False)
    seen = []

    class Watch(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            runner.model.recorder.request('test')

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            seen.append(runner.model.recorder.record)

    runner.register_hook(Watch())
    runner.train()
    file = tmp_path / 'config.py'
    cfg.dump(file)
    streams = {name: tool.Stream(name, cfg.train_dataloader[name], 7) for name in ('source', 'target')}
    method = tool.build_method(cfg, None)
    assert next(method.student.parameters()).is_meta, 'no memory is spent on networks'
    for iteration, record in enumerate(seen):
        data = method.data_preprocessor(
            {name: tool.pseudo_collate(stream.batch(iteration)) for name, stream in streams.items()}, True)
        for name in streams:
            torch.testing.assert_close(data[name]['inputs'], record.batch[name]['inputs'], rtol=0, atol=0)
        draws = method.draw_step(data, StepGenerator(tool.StepContext(7, 0, iteration).derive('draws', 0)))
        state = tool.mixed_state(method, data, draws)
        torch.testing.assert_close(state['mixed_image'], record.state.mixed_image)
        source = state['mix_mask']
        assert torch.equal(state['mixed_label'][source], record.state.mixed_label[source])
        assert (state['mixed_label'][~source] == 255).all()


@pytest.mark.ci
def test_command(tool, tiny_config, run_config, tmp_path, capsys):
    cfg = tiny_config(max_iters=2, ignore_top=8)
    runner = run_config(cfg)
    file = tmp_path / 'config.py'
    cfg.dump(file)
    assert tool.main([str(file), '--num', '3', '--out', str(tmp_path / 'look'), '--iteration', '1']) == 0
    assert 'pictures of source, target' in capsys.readouterr().out
    found = {path.name: cv2.imread(str(path)) for path in (tmp_path / 'look').iterdir()}
    assert set(found) == {'source.png', 'target.png', 'mixed_1.png', 'mixed_2.png', 'legend.png'}
    assert found['source.png'].shape[1] > found['target.png'].shape[1]  # the label beside the image
    only = tmp_path / 'only'
    assert tool.main([str(file), '--streams', 'source', '--num', '1', '--out', str(only)]) == 0
    assert {path.name for path in only.iterdir()} == {'source.png', 'legend.png'}
    trained = tmp_path / 'trained'
    checkpoint = str(Path(runner.work_dir) / 'iter_2.pth')
    assert tool.main([str(file), '--num', '1', '--out', str(trained), '--checkpoint', checkpoint]) == 0
    assert (trained / 'mixed_0.png').is_file()
    with pytest.raises(SystemExit, match=r"no stream \['nowhere'\]; it has \['source', 'target'\]"):
        tool.main([str(file), '--streams', 'nowhere', '--out', str(only)])


def test_supervised_training_has_streams_but_no_mix(tool, tiny_config, tmp_path):
    file = tmp_path / 'config.py'
    tiny_config(method='Supervised').dump(file)
    assert tool.main([str(file), '--num', '2', '--out', str(tmp_path / 'look')]) == 0
    assert {path.name for path in (tmp_path / 'look').iterdir()} == {'source.png', 'legend.png'}
