"""Whether a written file computes what the network does.

Shapes: B images, K classes, H x W pixels.
"""
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_dg.models.segmentors.mask_diffusion import MaskDiffusionEncoderDecoder
from mmseg_dg.utils.rounding import ceil_div

from .graph import InferenceGraph, PlainDiffusion
from .writers import multiple_of, smallest, window_reach

#: Largest difference of a logit, relative to the largest logit (at least 1), and least share of
#: equal classes.
TOLERANCE, AGREEMENT = 1e-4, 0.9999


class Agreement(NamedTuple):
    """A written file beside the network, on random images of three sizes.

    Attributes:
        difference: Largest difference of a logit over the largest logit (at least 1); None where a
            file gives classes.
        equal: Share of pixels with the same class, 0..1.
    """
    difference: Optional[float]
    equal: float

    @property
    def holds(self) -> bool:
        """Whether both numbers are within ``TOLERANCE`` and ``AGREEMENT``."""
        return self.equal >= AGREEMENT and (self.difference is None or self.difference <= TOLERANCE)

    def __str__(self) -> str:
        logits = ''
        if self.difference is not None:
            logits = f'logits differ by at most {self.difference:.1e}, '
        return f'{logits}{self.equal:.2%} of the pixels have the same class'


def compare(run: Callable[[Tensor], Tensor], graph: InferenceGraph,
            network: BaseSegmentor) -> Agreement:
    """Compare a written file with the network it was made from.

    Args:
        run: The file, as a function of ``graph.example(...)``: logits (B, K, H, W), or class ids
            (B, H, W) where the graph has the argmax.
        graph: What was written.
        network: A copy of the network from before.

    Returns:
        The largest relative difference of logits (None for class ids), and the share of pixels
        whose class is the same.
    """
    height, width = (max(side, 64) for side in smallest(graph))  # least sides to compare at
    step, reach = multiple_of(graph), window_reach(graph)
    # no size is square, and none is that of the trace; one is wide enough for several windows
    sizes = [(height + 9, width + 35), (height + 32, width), (height + 2, 2 * width + reach + 12)]
    sizes = [(ceil_div(rows, step) * step, ceil_div(columns, step) * step)
             for rows, columns in sizes]
    # batches of two images, and one of a single image
    batches = [graph.example(*sizes[0]), graph.example(*sizes[1])[:1], graph.example(*sizes[2])]
    differences, equal, count = [], 0, 0
    for images in batches:
        expected = reference_logits(network, normalized(graph, images))
        output = run(images)
        if graph.argmax:
            classes = output
        else:
            scale = max(1., float(expected.abs().max()))
            differences.append(float((output - expected).abs().max()) / scale)
            classes = output.argmax(dim=1)
        same = classes.long() == expected.argmax(dim=1)
        equal, count = equal + int(same.sum()), count + same.numel()
    return Agreement(max(differences) if differences else None, equal / count)


@torch.no_grad()
def reference_logits(network: BaseSegmentor, images: Tensor) -> Tensor:
    """What the network itself predicts for whole images, (B, 3, H, W) -> (B, K, H, W)."""
    # of a network that samples, only its plain classifier is ever written as a graph
    if isinstance(network, MaskDiffusionEncoderDecoder):
        return PlainDiffusion(network)(images)
    size = tuple(images.shape[-2:])
    return network.encode_decode(images, [dict(img_shape=size, ori_shape=size)] * len(images))


def normalized(graph: InferenceGraph, images: Tensor) -> Tensor:
    """The network's input for an input of its graph.

    Args:
        graph: Where it ``normalizes`` itself, its input is uint8 (B, H, W, 3), BGR.
        images: Input of the graph: that, or else float32 (B, 3, H, W), normalized.

    Returns:
        Normalized images (B, 3, H, W).
    """
    if not graph.normalizes:
        return images
    images = images.permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W)
    return ((images.flip(1) if graph.bgr_to_rgb else images) - graph.mean) / graph.std


def run_onnx(path: Path) -> Optional[Callable[[Tensor], Tensor]]:
    """A function that runs an ONNX file on the CPU by onnxruntime, from images to logits or classes
    in the shapes of :class:`InferenceGraph`, e.g. (B, 3, H, W) -> (B, K, H, W); None where
    onnxruntime is not installed.
    """
    if importlib.util.find_spec('onnxruntime') is None:
        return None
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    # None: all outputs, of which there is one
    return lambda images: torch.from_numpy(session.run(None, {'images': images.numpy()})[0])


def run_torch_export(path: Path) -> Callable[[Tensor], Tensor]:
    """A function that runs a file of ``torch.export``, from images to logits or classes in the
    shapes of :class:`InferenceGraph`, e.g. (B, 3, H, W) -> (B, K, H, W).
    """
    return unguarded(torch.export.load(str(path)))


def unguarded(program: torch.export.ExportedProgram) -> Callable[[Tensor], Tensor]:
    """A function that runs a traced graph at any size, e.g. (B, 3, H, W) -> (B, K, H, W).

    The tracer also notes conditions on sizes ("guards"), which come from the memory layout of the
    traced images and would refuse others; they are left out, since the values are compared here.
    """
    try:
        module = program.module(check_guards=False)
    except TypeError:  # older releases of PyTorch note no conditions
        module = program.module()
    return lambda images: module(images)
