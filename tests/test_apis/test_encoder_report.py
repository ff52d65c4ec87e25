"""How far a training moved its encoder, and what a linear classifier reads from it."""
import math

import pytest
import torch
from torch import nn

from mmseg_dg.apis import encoder_report as module
from mmseg_dg.apis.encoder_report import distance, encoder_report, probe, start_of
from mmseg_dg.registry import MODELS


def layer(weight, bias=(0., 0.)):
    made = nn.Linear(2, 2)
    made.load_state_dict(dict(weight=torch.tensor(weight), bias=torch.tensor(bias)))
    return made


START = [[3., 0.], [0., 4.]]  # of length 5


def test_distance_by_hand():
    moved = layer([[3., 1.], [0., 4.]], (0., 2.))  # by (1, 2)
    assert distance(moved, layer(START), layer(START)) == pytest.approx(math.sqrt(5) / 5)
    assert distance(layer(START), layer(START), layer(START)) == 0


def test_what_begins_at_random_does_not_count():
    assert distance(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)) is None
    wide = [nn.Sequential(nn.Linear(200, 1, bias=False), nn.Linear(1, 1, bias=False)) for _ in range(3)]
    for encoder, last in zip(wide, (7., 1., 2.)):  # one of 201 numbers begins at random
        nn.init.constant_(encoder[0].weight, 1.)
        nn.init.constant_(encoder[1].weight, last)
    nn.init.constant_(wide[0][0].weight, 1.5)
    assert distance(*wide) == pytest.approx(0.5)


class Channels(nn.Module):
    """An encoder whose last map is the image at an eighth of its size."""

    def forward(self, images):
        return [images, nn.functional.avg_pool2d(images, 8)]


def sample(label):
    """An image whose channels are the classes of its labels (h, w), plus noise."""
    image = nn.functional.one_hot(label.clamp(max=2), 3).permute(2, 0, 1)[None].float()
    noise = 0.05 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + noise).repeat_interleave(8, 2).repeat_interleave(8, 3), label


def test_a_probe_reads_classes_that_lie_open_and_no_others(monkeypatch):
    labels = torch.arange(24).reshape(4, 6) % 3
    labels[0, 0] = 255
    images = [sample(labels), sample(labels.flip(0)), sample(labels.flip(1)), sample(labels)]
    assert probe(Channels(), images) == 100
    blind = probe(lambda images: torch.zeros(1, 3, 4, 6), images)
    assert blind < 20
    only_two = [images[0], images[0], sample(labels % 2), sample(labels % 2)]
    assert probe(Channels(), only_two) == 100, 'a class that is not in the judged images does not count'
    monkeypatch.setattr(module, '_MOST', 100)
    assert probe(Channels(), images) is None


def saved_start(cfg, path):
    """Weights that a training begins with: a plain segmentor in a file."""
    torch.manual_seed(3)
    torch.save(MODELS.build(cfg.model).student.state_dict(), path)
    return str(path)


@pytest.mark.ci
def test_of_a_training(tiny_config, run_config, tmp_path):
    cfg = tiny_config('DACS', max_iters=2, val_interval=2)
    cfg.load_from = saved_start(cfg, tmp_path / 'start.pth')
    runner = run_config(cfg)
    found = encoder_report(cfg, tmp_path / 'run', 'target', images=4)
    assert found['encoder_note'] == ''
    begin = torch.load(cfg.load_from)
    named = dict(runner.model.student.backbone.named_parameters())
    moved = sum(float((p.detach().cpu().double() - begin[f'backbone.{n}']).square().sum()) for n, p in named.items())
    length = sum(float(begin[f'backbone.{n}'].double().square().sum()) for n in named)
    assert found['encoder_distance'] == pytest.approx(math.sqrt(moved / length), rel=1e-6) and moved > 0
    assert 0 < found['probe'] <= 100 and 0 < found['probe_of_start'] <= 100
    assert found == encoder_report(cfg, tmp_path / 'run', 'target', images=4), 'the same each time'


def test_a_frozen_encoder_has_not_moved(tiny_config, run_config, tmp_path):
    cfg = tiny_config('DACS', max_iters=2, val_interval=2)
    start = saved_start(cfg, tmp_path / 'start.pth')
    cfg.model.network.backbone.update(trainable='none', init_cfg=dict(type='Pretrained', checkpoint=start,
                                                                      prefix='backbone.'))
    run_config(cfg)
    found = encoder_report(cfg, tmp_path / 'run', 'target', images=4)
    assert found['encoder_distance'] == 0 and found['probe'] == found['probe_of_start']


def test_what_cannot_be_had_is_said(tiny_config, tmp_path):
    cfg = tiny_config('DACS')
    assert encoder_report(cfg, tmp_path, 'target')['encoder_note'] == 'no checkpoint is left'
    model = start_of(cfg, 0)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'iter_4.pth')
    found = encoder_report(cfg, tmp_path, 'target', images=2)
    assert found['encoder_note'] == 'the encoder began at random'
    assert found['encoder_distance'] is found['probe_of_start'] is None and found['probe'] > 0
    named = cfg.copy()
    named.val_dataloader = dict(val=cfg.val_dataloader.target)  # a domain of that name is no single loader
    assert encoder_report(named, tmp_path, 'val', images=2)['probe'] == found['probe']
    cfg.val_dataloader.target.dataset = dict(type='FolderDataset', data_prefix=dict(img_path='x'))
    assert 'target has no masks' in encoder_report(cfg, tmp_path, 'target')['encoder_note']
    (tmp_path / 'iter_8.pth').write_text('not a checkpoint')
    assert 'Error' in encoder_report(cfg, tmp_path, 'target')['encoder_note']
