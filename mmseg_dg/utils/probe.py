"""Whether a network can read an image of some size, found out by trying.

Shapes: C channels, H x W pixels.
"""
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from .seeding import local_seed

#: Images whose sides are all at least this long are taken to fit any network without trying.
SMALL_SIDE = 128


def unreadable(model: BaseModel, sample: dict) -> str:
    """What the network says about an image it cannot predict because it is small; '' for one it
    can.

    Only small images are tried (:data:`SMALL_SIDE`), and a network that fails on large ones as well
    has another fault, which is not looked for here. The model's mode, weights and running
    statistics stay as they are.

    Args:
        model: A method or segmentor.
        sample: ``inputs`` (C, H, W) and ``data_samples`` of one image, as a pipeline packs them.
    """
    image = sample['inputs']
    if min(image.shape[-2:]) >= SMALL_SIDE:
        return ''
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), local_seed(0):
            problem = _try(model, image, sample['data_samples'].clone())
            if not problem:
                return ''
            # the same image enlarged fails as well: the fault is not that it is small
            fails_on_large = _try(model, *_enlarged(image, sample['data_samples'].clone()))
            return '' if fails_on_large else problem
    finally:
        model.train(training)


def _try(model: BaseModel, image: Tensor, data_sample: Any) -> str:
    """Why the network cannot predict the image (C, H, W): the error it raises; '' if it can."""
    try:
        model.test_step(dict(inputs=[image], data_samples=[data_sample]))
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # networks fail on small images in their own ways
        return str(error) or type(error).__name__
    return ''


def _enlarged(image: Tensor, data_sample: Any) -> tuple[Tensor, Any]:
    """The image (C, H, W) resized to a square of twice :data:`SMALL_SIDE`, and its data sample,
    changed in place to name that size.
    """
    size = (2 * SMALL_SIDE, 2 * SMALL_SIDE)
    data_sample.set_metainfo(dict(ori_shape=size, img_shape=size, pad_shape=size))
    return F.interpolate(image[None].float(), size=size).to(image.dtype)[0], data_sample
