"""BatchNorm statistics estimated anew on given images."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from mmseg_dg.apis.reestimate import _batches, batch_bounds
from mmseg_dg.models.norm_statistics import collecting, estimate_statistics
from mmseg_dg.models.segmentors import TrainableSegmentor


class Network(TrainableSegmentor, nn.Module):
    """Two normalized layers and logits at image size."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1),
                                    nn.BatchNorm2d(2), nn.Dropout(0.5))

    def predict_logits(self, images):
        return self.layers(images)


def test_statistics_are_the_mean_over_batches_and_nothing_else_changes():
    network = Network()
    network.layers[1].running_mean.fill_(9)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    batches = [torch.randn(4, 3, 8, 8) * 2 + 1, torch.randn(4, 3, 8, 8)]
    assert estimate_statistics(network, batches) == 8
    maps = [network.layers[0](b) for b in batches]
    mean, var = (torch.stack([reduce(m) for m in maps]).mean(0)
                 for reduce in (lambda m: m.mean((0, 2, 3)), lambda m: m.var((0, 2, 3))))
    assert torch.allclose(network.layers[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(network.layers[1].running_var, var, rtol=1e-5)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {f'layers.{i}.{n}' for i in (1, 4)
                       for n in ('running_mean', 'running_var', 'num_batches_tracked')}
    assert not network.training and network.layers[1].momentum == 0.1


def test_later_layers_see_features_of_the_new_statistics():
    network = Network()
    network.layers[1].running_mean.fill_(50)  # far off: with it, the second layer would see constants
    images = torch.randn(4, 3, 8, 8)
    estimate_statistics(network, [images])
    x = network.layers[0](images)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    seen = network.layers[3](x.relu())
    assert torch.allclose(network.layers[4].running_mean, seen.mean((0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize('sizes', [(8, 1), (1, 8), (3, 3, 3), (2, 7)])
def test_batches_count_by_their_images(sizes):
    """The mean is that of all images whatever the batches; the variance lacks that between the batches' means."""
    layer = nn.BatchNorm2d(1)
    images = torch.cat([torch.zeros(8, 1, 2, 2), torch.full((1, 1, 2, 2), 9.)])
    batches = images.split(sizes)
    with collecting([layer]):
        for batch in batches:
            layer(batch)
    assert float(layer.running_mean) == pytest.approx(1)
    assert float(layer.running_var) == pytest.approx(sum(float(b.var()) * len(b) for b in batches) / 9, rel=1e-6)
    assert layer.momentum == 0.1 and not layer._forward_pre_hooks


def test_a_layer_that_a_batch_passes_twice():
    layer = nn.BatchNorm1d(1)
    with collecting([layer]):
        for batch in (torch.tensor([[0.], [2.]]), torch.tensor([[4.], [6.]]), torch.tensor([[1.], [2.], [3.]])):
            layer(batch)
            layer(batch + 10)
    assert float(layer.running_mean) == pytest.approx((1 * 2 + 5 * 2 + 2 * 3) / 7 + 5)
    assert int(layer.num_batches_tracked) == 6


def test_windows_of_an_image_count_as_the_image():
    """HRDA sends an image through a layer as a whole and as windows; a layer listed twice counts once."""
    layer = nn.BatchNorm2d(1)
    with collecting([layer, layer]) as holds:
        for images, whole, windows in ((2, 1., 3.), (1, 4., 6.)):
            holds(images)
            layer(torch.full((images, 1, 2, 2), whole))
            layer(torch.full((9 * images, 1, 2, 2), windows))
    assert float(layer.running_mean) == pytest.approx((2 * 1 + 2 * 3 + 1 * 4 + 1 * 6) / 6)


def test_compiled_layers_count_alike():
    layers = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    images = torch.randn(9, 1, 2, 2)
    with torch.no_grad():
        mean = layers[0](images).mean()
        layers.compile(backend='eager')
        layers.eval()(images)
        with collecting([layers[1]]):
            for batch in images.split(2):
                layers(batch)
    assert float(layers[1].running_mean) == pytest.approx(float(mean), abs=1e-6)


def test_one_image_behind_global_pooling():
    network = Network()
    network.layers.insert(0, nn.BatchNorm2d(3))
    network.layers.insert(0, nn.AdaptiveAvgPool2d(1))
    assert estimate_statistics(network, torch.randn(4, 3, 8, 8).split(2)) == 4
    with pytest.raises(ValueError, match='3 channels gets one value per channel.*two images or more'):
        estimate_statistics(network, torch.randn(3, 3, 8, 8).split(2))
    assert network.layers[1].momentum == 0.1


@pytest.mark.parametrize('images, size, expected', [
    (9, 8, [7, 2]), (16, 8, [8, 8]), (18, 8, [8, 8, 2]), (5, 2, [2, 3]), (3, 1, [1, 1, 1]), (1, 8, [1]),
    (4, 3, [2, 2])])
def test_no_image_is_left_alone(images, size, expected):
    bounds = batch_bounds(images, size)
    assert [end - start for start, end in bounds] == expected
    assert [i for start, end in bounds for i in range(start, end)] == list(range(images))


def test_images_are_loaded_as_for_a_prediction(tmp_path):
    """By the loading step of the test pipeline with its options, once, and without the frame of a score."""
    generator = np.random.default_rng(0)
    (tmp_path / 'img').mkdir()
    for i in range(3):
        Image.fromarray(generator.integers(0, 255, (6, 8), np.uint8)).save(tmp_path / 'img' / f'{i}.png')
    steps = [dict(type='mmseg.LoadImageFromFile', color_type='grayscale', to_float32=True),
             dict(type='CenterCropPad', crop_size=(4, 4)), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    data = dict(type='UnlabeledImageDataset', like='cityscapes', data_root=str(tmp_path),
                data_prefix=dict(img_path='img'))
    cfg = Config(dict(train_dataloader=dict(target=dict(dataset=dict(data, pipeline=steps[:1]))),
                      test_dataloader=dict(dataset=dict(data, pipeline=steps))))
    seen = []
    model = SimpleNamespace(data_preprocessor=lambda data, training: seen.extend(data['inputs']) or dict(inputs=1))
    assert list(_batches(model, cfg, 'target', 3, 2, 0)) == [1]
    assert [(x.dtype, tuple(x.shape)) for x in seen] == [(torch.float32, (1, 6, 8))] * 3


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match='no images'):
        estimate_statistics(Network(), [])
    with pytest.raises(ValueError, match='Conv2d has no BatchNorm layer'):
        estimate_statistics(nn.Conv2d(3, 3, 1), [torch.zeros(1, 3, 4, 4)])
