"""Drift pixels over images, the maps behind them, and the command that draws them."""
import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmseg_dg.apis import load_model
from mmseg_dg.apis.pixel_maps import domain_dataset, pixel_maps, spread_indices
from mmseg_dg.visualization.drift_pictures import DRIFT_COLOR, DriftCount, drift_tiles

PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]


def load_tool(name):
    path = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def maps(size=(4, 6)):
    """Logits surest at the left: entropy grows from column to column."""
    logits = torch.zeros(3, *size)
    logits[1] = torch.linspace(6, 0.5, size[1])
    return logits, torch.ones(size, dtype=torch.int64), torch.ones(size, dtype=torch.bool)


def red(tile):
    return (tile.picture == DRIFT_COLOR).all(-1)


def test_the_least_sure_pixels_are_painted():
    logits, labels, inside = maps()
    photograph = np.full((8, 12, 3), 90, np.uint8)
    tiles, counts = drift_tiles(photograph, logits, labels, inside, [1 / 6, 1 / 3], PALETTE)
    assert [t.caption.split(':')[0] for t in tiles] == ['prediction', 'entropy', 'drift 16.7%', 'drift 33.3%']
    assert red(tiles[2]).any(axis=0).tolist() == [False] * 10 + [True] * 2
    assert red(tiles[3]).any(axis=0).tolist() == [False] * 8 + [True] * 4
    assert [c.drift for c in counts] == [4, 8] and [c.joint for c in counts] == [20, 16]
    assert (tiles[3].picture[~red(tiles[3])] == 90).all()


def test_ignored_pixels_and_padding_are_no_drift_pixels():
    logits, labels, inside = maps()
    labels[:, -1] = 255  # the least sure column
    inside[-1] = False
    labels[-1] = 255
    tiles, counts = drift_tiles(np.zeros((3, 6, 3), np.uint8), logits, labels, inside, [0.2], PALETTE)
    assert red(tiles[-1]).any(axis=0).tolist() == [False] * 4 + [True, False]
    assert counts[0].drift == 3 and counts[0].joint == 12
    assert tiles[0].picture.shape == (3, 6, 3), 'padding is not shown'


def test_without_labels_every_pixel_of_the_image_counts():
    logits, labels, inside = maps()
    labels[:] = 255
    _, counts = drift_tiles(np.zeros((4, 6, 3), np.uint8), logits, labels, inside, [0.5], PALETTE)
    assert counts[0] == DriftCount(0, 0, 0, 0) and str(counts[0]) == 'no labels'


def test_wrong_pixels_are_counted_on_both_sides():
    logits, labels, inside = maps()
    labels[:, -1] = 0  # wrong and unsure
    labels[0, 0] = 2  # wrong and sure
    _, (count, ) = drift_tiles(np.zeros((4, 6, 3), np.uint8), logits, labels, inside, [1 / 6], PALETTE)
    assert count == DriftCount(4, 4, 20, 1)
    assert str(DriftCount.total([count, count])) == 'wrong: 100% of drift, 5% of joint'
    _, (joined, ) = drift_tiles(np.zeros((4, 6, 3), np.uint8), logits, labels, inside, [1 / 6], PALETTE,
                                label_map=[1, 1, 0])
    assert joined == DriftCount(4, 0, 20, 1), 'classes 0 and 1 are scored as one'


@pytest.fixture
def trained(tiny_config, tmp_path):
    """Config file and checkpoint of a tiny network."""
    from mmseg_dg.registry import MODELS

    def make(**model):
        cfg = tiny_config('Supervised')
        for key, value in model.items():  # update() would merge
            cfg.model.network[key] = value
        cfg.dump(tmp_path / 'config.py')
        torch.manual_seed(0)
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'model.pth')
        return tmp_path / 'config.py', tmp_path / 'model.pth'

    return make


def test_maps_of_one_scale_are_what_the_network_predicts(trained):
    config, checkpoint = trained()
    model = load_model(config, str(checkpoint), 'cpu')
    dataset, name = domain_dataset(model.cfg)
    assert name == 'target' and spread_indices(len(dataset), 3) == [0, 6, 11]  # 5.5 rounds to the even number
    sample = dataset[0]
    one, = pixel_maps(model, sample)
    assert one.name == '' and one.features.shape == (8, 20, 24) and bool(one.inside.all())
    head = model.student.decode_head.conv_seg
    torch.testing.assert_close(head(one.features[None])[0], one.logits, atol=1e-5, rtol=1e-5)
    expected = sample['data_samples'].gt_sem_seg.data[0, 2::4, 2::4]  # centers of the cells
    assert torch.equal(one.labels, expected)
    predicted = model.test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]))[0]
    agree = predicted.pred_sem_seg.data[0, 2::4, 2::4] == one.logits.argmax(0)
    assert agree.float().mean() > 0.9  # the prediction is made after enlarging the logits


def test_maps_of_two_scales(trained, tiny_config):
    head = tiny_config('Supervised').model.network.decode_head
    config, checkpoint = trained(
        type='HRDAEncoderDecoder', hr_crop_size=(32, 32), scales=[1, 0.5],
        decode_head=dict(type='HRDAHead', head=head, attention_channels=8, output_stride=4))
    model = load_model(config, str(checkpoint), 'cpu')
    context, detail = pixel_maps(model, domain_dataset(model.cfg)[0][0])
    assert (context.name, detail.name) == ('context', 'detail')
    assert context.logits.shape == (4, 10, 12) and detail.logits.shape == (4, 20, 24)
    assert bool(context.inside.all()) and bool(detail.inside.all())


def test_a_head_of_mmsegmentation_shows_its_features(trained):
    config, checkpoint = trained(decode_head=dict(
        type='FCNHead', in_channels=8, in_index=1, channels=6, num_convs=1, concat_input=False, num_classes=4))
    model = load_model(config, str(checkpoint), 'cpu')
    one, = pixel_maps(model, domain_dataset(model.cfg)[0][0])
    assert one.features.shape == (6, 10, 12) and one.logits.shape == (4, 10, 12)


def test_a_decoder_without_features_is_named(trained, monkeypatch):
    from mmseg.models.decode_heads import FCNHead
    monkeypatch.setattr(FCNHead, 'forward', lambda self, x: self._forward_feature(x)[:, :4])  # no classifier
    head = dict(type='FCNHead', in_channels=8, in_index=1, channels=6, num_convs=1, concat_input=False, num_classes=4)
    model = load_model(*map(str, trained(decode_head=head)), 'cpu')
    with pytest.raises(ValueError, match='FCNHead shows no feature'):
        pixel_maps(model, domain_dataset(model.cfg)[0][0])


def test_an_unknown_domain_is_named(trained):
    model = load_model(trained()[0])
    with pytest.raises(ValueError, match=r"'night'.*target"):
        domain_dataset(model.cfg, 'night')


@pytest.mark.parametrize('options, columns', [([], 5), (['--predictions-only'], 4)])
def test_command(trained, tmp_path, capsys, options, columns):
    config, checkpoint = trained()
    out = tmp_path / 'drift.png'
    load_tool('drift_pixels').main([str(config), str(checkpoint), str(out), '--num', '2', '--device', 'cpu', '--eta',
                                    '0.2', '0.01', *options])
    assert cv2.imread(str(out)).shape == (2 * (80 + 22) + 4, columns * (96 + 4) + 4, 3)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('all eta')]
    assert len(lines) == 2 and all('joint pixels' in line and 'wrong:' in line for line in lines)


@pytest.mark.parametrize('evaluator, found', [
    (dict(type='M', label_map=[1, 0]), [1, 0]), ([dict(type='F'), dict(type='M', label_map=[1, 0])], [1, 0]),
    (dict(city=dict(type='M', label_map=[1, 0])), [1, 0]),
    (dict(city=[dict(type='F'), dict(type='M', label_map=[0])]), [0]),
    (dict(other=dict(type='M', label_map=[1, 0])), None), ([dict(type='F')], None), (None, None)])
def test_the_label_map_is_found_in_every_form_of_an_evaluator(evaluator, found):
    """One metric or a list, for all domains or for each."""
    from mmengine.config import Config
    assert load_tool('drift_pixels').label_map(Config(dict(test_evaluator=evaluator)), 'city') == found
