"""The Python lines of README.md run, and give what the config they name gives."""
import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image

from mmseg_dg.apis.config_rows import find_config

ROOT = Path(__file__).resolve().parents[2]


def lines():
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    return re.search(r'```python\n(.*?)```', text, flags=re.S).group(1)


def test_five_lines_give_what_the_config_does(tmp_path, monkeypatch, capsys):
    code = lines()
    assert len(code.strip().splitlines()) <= 5
    config, weights = re.search(r"load_model\('([^']+)', '([^']+)'\)", code).groups()
    photo = np.random.RandomState(0).randint(0, 256, (8, 16, 3), np.uint8).repeat(12, 0).repeat(12, 1)
    Image.fromarray(photo).save(tmp_path / 'photo.jpg')
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)  # noqa: S102  the page's own lines
    ids = names['ids']
    assert ids.dtype == np.int64 and ids.shape == photo.shape[:2]
    assert 'road' in capsys.readouterr().out

    from mmseg_dg.registry import MODELS
    from mmseg_dg.weights.files import read_state_dict, without_pretrained
    from mmseg_dg.weights.shipped import shipped_file
    cfg = Config.fromfile(find_config(config))
    method = MODELS.build(without_pretrained(cfg.model))
    state = {key: value.float() for key, value in read_state_dict(str(shipped_file(weights))).items()}
    method.evaluated_network.load_state_dict(state)
    method.eval()
    loader = next(iter(cfg.test_dataloader.values()))
    steps = [dict(step) for step in loader.dataset.pipeline if 'Annotations' not in step.type]
    sample = Compose(steps)(dict(img_path='photo.jpg', seg_fields=[]))
    with torch.no_grad():
        result = method.test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))[0]
    np.testing.assert_array_equal(ids, result.pred_sem_seg.data[0].numpy())
    assert len(np.unique(ids)) > 1, 'a picture of one class would prove nothing'
