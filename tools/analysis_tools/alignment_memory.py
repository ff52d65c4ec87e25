"""Memory of an alignment term beside that of the step it joins.

    python tools/analysis_tools/alignment_memory.py [CONFIG] [--size 512] [--batch 2] [--iteration 0]
    python tools/analysis_tools/alignment_memory.py CONFIG --size 1024 --calculate
    python tools/analysis_tools/alignment_memory.py CONFIG --size 256 --cfg-options model.network.hr_crop_size=128,128

Without CONFIG: self-training (DACS) of MiT-B0 + DAFormer head, 19 classes, with PixelAlignment as it is by default.
Two measures are printed, in MiB (2 ** 20 bytes), both of the tensors the step itself makes (not of parameters,
optimizer and library workspaces):

- *saved*: what autograd keeps for the backward pass, counted through torch's saved-tensor hooks;
- *peak*: the most that is alive at any moment of the step, forward and backward, counted at every operation.

Images, labels and weights are random, every pixel is labeled: the most drift pixels there can be. ``--calculate``
does the graph of the network on torch's meta device, which computes nothing, and the term by formula: for networks
that do not fit into this machine.
"""
import argparse
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional
from unittest.mock import patch

import torch
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mmseg_dg  # noqa: F401  prepares the library stack before anything of it is imported

# isort: split
from mmseg.structures import SegDataSample

from mmseg_dg.apis.entry import run_tool
from mmseg_dg.engine.optim import MergedParamGroups
from mmseg_dg.methods.step import StepContext
from mmseg_dg.models.losses import AlignmentImages
from mmseg_dg.models.segmentors import draw_crop_box, segmentation_losses
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.config_files import read_config_file
from mmseg_dg.utils.seeding import StepGenerator

MIB = 2**20
NETWORK = dict(
    type='EncoderDecoder', backbone=dict(type='MixTransformer', arch='b0'),
    decode_head=dict(type='DAFormerHead', in_channels=[32, 64, 160, 256], num_classes=19,
                     loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
TOTAL = 60000  # iterations of the training that --iteration is one of


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of tensors made inside it that are alive, and the most there ever were.

    Counted are storages, each once, however many tensors (views) share it.

    Attributes:
        alive: Storage (:func:`_key`) -> weak reference, whose callback notes its end, and bytes.
        now: Bytes that are alive.
        peak: The most that were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[weakref.ref, int]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation (torch calls this for each) and count the new storages in its result."""
        result = func(*args, **(kwargs or {}))
        given = None
        for x in tree_leaves(result):
            if not isinstance(x, Tensor) or _key(x) in self.alive:
                continue
            if given is None:  # what an operation hands through was there before
                given = {_key(y) for y in tree_leaves((args, kwargs or {})) if isinstance(y, Tensor)}
            if _key(x) not in given:
                self._add(x.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        """Count a storage from now until it is freed."""
        key, size = storage._cdata, storage.nbytes()
        self.alive[key] = weakref.ref(storage, lambda _: self._drop(key)), size
        self.now += size
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int) -> None:
        """A storage was freed."""
        self.now -= self.alive.pop(key)[1]


def _key(x: Tensor) -> int:
    """Address of a tensor's storage, which views share; unique while the storage is alive."""
    return x.untyped_storage()._cdata


@contextmanager
def saved_bytes(*known: Tensor) -> Iterator[dict[int, int]]:
    """Storage -> bytes of what autograd keeps inside the block, leaving out the storages of ``known`` tensors."""
    sizes: dict[int, int] = {}
    given, keep = {_key(x) for x in known}, []

    def note(x: Tensor) -> Tensor:
        """Count a tensor that is saved; it is saved as it is."""
        if _key(x) not in given:
            sizes[_key(x)] = x.untyped_storage().nbytes()
            keep.append(x)  # so that no address is used twice
        return x

    hooks = torch.autograd.graph.saved_tensors_hooks

    def inner_hooks(pack: Callable, unpack: Callable) -> object:
        """Hooks inside the block (maps that are made again instead of kept) hide these ones: what they keep counts."""
        def pack_and_note(x: Tensor) -> object:
            """What the inner hook keeps, counted where it is a tensor."""
            packed = pack(x)
            return note(packed) if isinstance(packed, Tensor) else packed

        return hooks(pack_and_note, unpack)

    with hooks(note, lambda x: x), patch('torch.autograd.graph.saved_tensors_hooks', inner_hooks):
        yield sizes


def term_bytes(pixels: int, channels: int, classes: int) -> int:
    """Bytes PixelAlignment saves for its backward pass: per drift pixel a float32 feature, a row of log-probabilities,
    and positions, targets, lengths and weights (36 bytes)."""
    return pixels * (4 * channels + 4 * classes + 36)


def random_batch(method, size: int, batch: int, device: str) -> dict:
    """Normalized images (3, size, size) with labels in squares of 64 pixels, for each stream of a method.

    Every image has labels, unlabeled streams too, and ``valid_pseudo_mask`` of ones.

    Args:
        method: A training method.
        size: Side of the images in pixels.
        batch: Images of each stream.
        device: Where they are.
    """
    classes = method.student.num_classes if hasattr(method.student, 'num_classes') else 19
    generator = torch.Generator().manual_seed(0)

    def samples() -> list:
        """Data samples of one stream."""
        cells = torch.randint(0, classes, (batch, 1, -(-size // 64), -(-size // 64)), generator=generator)
        labels = cells.repeat_interleave(64, 2).repeat_interleave(64, 3)[..., :size, :size].to(device)
        mask = torch.ones(1, size, size, dtype=torch.uint8, device=device)
        return [SegDataSample(gt_sem_seg=PixelData(data=x), valid_pseudo_mask=PixelData(data=mask)) for x in labels]

    return {name: dict(inputs=torch.randn(batch, 3, size, size, generator=generator).to(device),
                       data_samples=samples()) for name in method.streams}


def step_peak(build: Callable, alignment: Optional[dict], args: argparse.Namespace) -> float:
    """Peak of one training step in MiB.

    Args:
        build: Builds the method with an alignment term.
        alignment: Config of the term; None: without.
        args: Of the command line.
    """
    method = build(alignment).train()
    data = random_batch(method, args.size, args.batch, 'cpu')
    optim = MergedParamGroups(dict(optimizer=dict(type='SGD', lr=0.)), None)(method)
    with LiveTensors() as live:
        method.train_step(data, optim, context=StepContext(0, 0, args.iteration, TOTAL), preprocess=False)
    return live.peak / MIB


def one_pass(method, data: dict, device: str):
    """One labeled pass forward: (its ``NetworkLosses``, its labels (B, H, W), MiB that autograd saved)."""
    images = data[method.source_stream]['inputs']
    labels = torch.stack([s.gt_sem_seg.data[0] for s in data[method.source_stream]['data_samples']])
    box = draw_crop_box(method.student, tuple(images.shape[-2:]), StepGenerator.wrap(0).numpy)
    parameters = list(method.student.parameters())
    # the accuracy needs values, which the meta device has not, and saves nothing
    with patch('mmseg_dg.models.segmentors.network.pixel_accuracy', lambda *_, **__: torch.zeros((), device=device)), \
            saved_bytes(images, labels, *parameters) as sizes:
        result = segmentation_losses(method.student, images, labels, crop_box=box)
    return result, labels, sum(sizes.values()) / MIB


def measured_term(method, entry: AlignmentImages, iteration: int) -> tuple[float, int]:
    """MiB that autograd saves for the alignment term on two passes, and its drift pixels (0 for a
    term without).

    Args:
        method: Its ``alignment`` is the term.
        entry: Images of one pass, which stand for both.
        iteration: Of ``TOTAL``.
    """
    # cut off from the network, whose graph is measured apart
    views = [v._replace(features=v.features.detach().requires_grad_()) for v in entry.views]
    entry = entry._replace(views=views, weight=torch.rand(entry.labels.shape))
    known = [x for v in views for x in (v.features, v.logits)]
    with saved_bytes(*known, *method.alignment.parameters()) as sizes:
        result = method.alignment([entry, entry], iteration, TOTAL, seed=0)
    return sum(sizes.values()) / MIB, int((result.log or {}).get('drift_pixels', 0))


def drift_pixels(method, views, iteration: int) -> int:
    """Drift pixels of two passes over fully labeled images: the share ``eta_at(iteration)`` of the
    pixels of each image and view (features (B, D, h, w)).
    """
    eta = method.alignment.eta_at(iteration, TOTAL)
    return 2 * sum(len(v.features) * round(eta * v.features.shape[-2:].numel()) for v in views)


def report(config: dict, args: argparse.Namespace) -> None:
    """Build the method of a config (its ``model``), measure or calculate, print."""

    def build(alignment: Optional[dict], device: str = 'cpu'):
        """The method with this alignment term (None: without)."""
        with torch.device(device):
            return MODELS.build(dict(config, alignment=alignment))

    term = dict(config.get('alignment') or dict(type='PixelAlignment'))
    device = 'meta' if args.calculate else 'cpu'
    torch.manual_seed(0)
    method = build(term, device).train()
    data = random_batch(method, args.size, args.batch, device)
    result, labels, graph = one_pass(method, data, device)
    print(f'{type(method.student).__name__}, {args.batch} images of {args.size} px per pass, iteration '
          f'{args.iteration} of {TOTAL}, {"calculated" if args.calculate else "measured"}; MiB')
    print(f'  saved by the graph of one pass                 {graph:10.1f}')
    if hasattr(method.alignment, 'eta_at'):
        pixels = drift_pixels(method, result.views, args.iteration)
        view = result.views[0]
        formula = term_bytes(pixels, view.features.shape[1], view.logits.shape[1]) / MIB
        print(f'  saved by the term on both passes, by formula   {formula:10.1f}   {100 * formula / graph:5.1f} %'
              f'   ({pixels} drift pixels)')
    if args.calculate:
        return
    saved, pixels = measured_term(method, AlignmentImages(result.views, labels, None, result.features[0]),
                                  args.iteration)
    print(f'  saved by the term on both passes, measured     {saved:10.1f}   {100 * saved / graph:5.1f} %')
    del method, result, data
    plain = step_peak(build, None, args)
    print(f'  peak of a step without the term                {plain:10.1f}')
    # ways in which a term treats its two passes, where it has a choice
    pairs = ('streaming', 'recompute', 'joint') if 'pair' in term or term['type'] == 'PixelAlignment' else (None, )
    for pair in pairs:
        peak = step_peak(build, dict(term, **(dict(pair=pair) if pair else {})), args)
        print(f'  peak of a step with it{f", pair={pair!r}" if pair else "":25s}{peak:10.1f}   '
              f'{100 * (peak / plain - 1):+5.1f} %')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', nargs='?', help='config of a method; self-training of MiT-B0 without it')
    parser.add_argument('--size', type=int, default=512, help='side of the training crop in pixels')
    parser.add_argument('--batch', type=int, default=2, help='images per stream')
    parser.add_argument('--iteration', type=int, default=0, help=f'of {TOTAL}: sets the share of drift pixels')
    parser.add_argument('--calculate', action='store_true', help='count without computing (meta device, formula)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='key=value settings of CONFIG')
    args = parser.parse_args()
    init_default_scope('mmseg_dg')
    config = dict(type='DACS', network=NETWORK, blur=False, color_jitter_strength=0.)
    if args.config:
        config = read_config_file(args.config)
        config.merge_from_dict(args.cfg_options or {})
        config = config.model.to_dict()
        config['feature_distance'] = None  # wants a pretrained encoder; its graph is the step's own
        config['network']['backbone'].pop('init_cfg', None)
    report(config, args)


if __name__ == '__main__':
    run_tool(main)
