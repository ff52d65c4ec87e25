"""Whether a network can read an image of some size, found out by trying."""
import torch
from torch import nn

from .seeding import local_seed

#: Images whose sides are all at least this long are taken to fit any network without trying.
SMALL_SIDE = 128


def unreadable(model: nn.Module, sample: dict) -> str:
    """What the network says about an image it cannot predict, '' if it can.

    Only small images are tried: :data:`SMALL_SIDE`. The model's mode, weights and running statistics stay as they are.

    Args:
        model: A method or segmentor.
        sample: ``inputs`` (C, H, W) and ``data_samples`` of one image, as a pipeline packs them.
    """
    if min(sample['inputs'].shape[-2:]) >= SMALL_SIDE:
        return ''
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), local_seed(0):
            model.test_step(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples'].clone()]))
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
        return str(error) or type(error).__name__
    finally:
        model.train(training)
    return ''
