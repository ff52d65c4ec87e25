"""BatchNorm statistics estimated anew on given images."""
import pytest
import torch
from torch import nn

from mmseg_dg.models.norm_statistics import estimate_statistics
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


def test_what_cannot_be_estimated_is_refused():
    with pytest.raises(ValueError, match='no images'):
        estimate_statistics(Network(), [])
    with pytest.raises(ValueError, match='Conv2d has no BatchNorm layer'):
        estimate_statistics(nn.Conv2d(3, 3, 1), [torch.zeros(1, 3, 4, 4)])
