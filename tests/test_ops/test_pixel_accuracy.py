"""The logged accuracy is mmseg's."""
import pytest
import torch
from mmseg.models.losses import accuracy

from mmseg_dg.ops import pixel_accuracy


@pytest.mark.parametrize('ignored', [0., 0.3, 1.])
def test_it_is_the_number_of_mmseg(ignored):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 17, 13, generator=generator)
    labels = torch.randint(0, 5, (2, 17, 13), generator=generator)
    labels[torch.rand(2, 17, 13, generator=generator) < ignored] = 255
    ours = pixel_accuracy(logits, labels, 255)
    theirs = accuracy(logits, labels, ignore_index=255)
    assert ours.shape == theirs.shape and torch.equal(ours, theirs)
    if ignored == 1:
        assert float(ours) == 100
