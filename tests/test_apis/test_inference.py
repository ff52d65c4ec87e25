"""Train, load and predict from Python."""
import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.apis import adapt, load_model, predict


def test_adapt_load_and_predict(tiny_config, tiny_data, tmp_path):
    cfg = tiny_config(work_dir='api', max_iters=2, val_interval=100)
    trained = adapt(cfg, options={'train_cfg.val_interval': 50})
    assert not trained.training
    path = tiny_data / 'target' / 'img' / '00.png'
    first = predict(trained, path)
    assert first.shape == (80, 96) and set(np.unique(first)) <= {0, 1, 2, 3}
    loaded = load_model(cfg, tmp_path / 'api' / 'iter_2.pth', device='cpu')
    again = predict(loaded, [path, cv2.imread(str(path))])
    assert np.array_equal(first, again[0]) and np.array_equal(first, again[1])


def test_resume_goes_on_from_the_work_dir_and_not_from_load_from(tiny_config, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(cfg):
        raise Stop(cfg.resume, cfg.load_from, cfg.work_dir)

    monkeypatch.setattr('mmseg_dg.apis.inference.build_runner', stop)
    cfg = tiny_config(work_dir='api')
    cfg.load_from, folder = 'mmseg_dg://city_day_mobilenetv2', str(tmp_path / 'again')
    for begun, expected in ((False, (False, cfg.load_from)), (True, (True, None))):
        if begun:
            (tmp_path / 'again').mkdir()
            (tmp_path / 'again/iter_1.pth').write_bytes(b'x')
        with pytest.raises(Stop) as caught:
            adapt(cfg, folder, options={'resume': False}, resume=True)
        assert caught.value.args == (*expected, folder)


def test_missing_files_and_foreign_checkpoints(tiny_config, tmp_path):
    cfg = tiny_config()
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        load_model(cfg, str(tmp_path / 'nothing.pth'))
    torch.save(dict(state_dict={'a.weight': torch.zeros(1)}), tmp_path / 'foreign.pth')
    with pytest.raises(ValueError, match='fits no network of DACS'):
        load_model(cfg, str(tmp_path / 'foreign.pth'))
    with pytest.raises(FileNotFoundError, match='no image'):
        predict(load_model(cfg), tmp_path / 'nothing.png')
