"""What a training has done to its encoder: how far it moved, and what its features know of the
classes.

Shapes: B images, K classes, C channels, H x W pixels, h x w places of a smaller map.
"""
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.registry import init_default_scope
from mmengine.runner import load_state_dict
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmseg_dg.datasets.checks import build_checked
from mmseg_dg.evaluation.confusion import confusion_matrix, scores
from mmseg_dg.evaluation.ridge_probe import RidgeProbe, ridge_logits, stacked_maps
from mmseg_dg.ops.pairs import pair
from mmseg_dg.registry import MODELS
from mmseg_dg.utils.modules import evaluated_network
from mmseg_dg.weights.segmentor_export import merge_adapters

from .inference import load_model
from .label_free import images_only

#: Images a probe learns from, and as many it is judged on.
IMAGES = 16
#: Pixels of an image per place of a probe's map, each way.
STRIDE = 8
#: Rare classes count by the root of their share.
_BALANCE = 0.5
#: Share of an encoder's numbers that may begin at random (filters of new channels); above it there
#: is no start to measure from.
_RANDOM = 0.01
#: Bytes a probe may keep.
_MOST = 2**30


def encoder_report(cfg: Config, folder: Path, domain: str, images: int = IMAGES) -> dict[str, Any]:
    """Distance and probe of the encoder that a finished run is judged with.

    Args:
        cfg: The run's config.
        folder: Its work dir; the newest ``iter_N.pth`` is taken.
        domain: Validation domain whose images and labels the probe sees.
        images: How many the probe learns from; as many more judge it (fewer where the domain has
            fewer).

    Returns:
        ``encoder_distance`` (:func:`distance`), ``probe`` (mIoU in percent, of the trained
        encoder), ``probe_of_start`` (of the weights it began with), each None where it cannot be
        had, and ``encoder_note``, which says why, also the text of an error (none is raised); ''
        where nothing is lacking.
    """
    found: dict[str, Any] = dict(encoder_distance=None, probe=None, probe_of_start=None,
                                 encoder_note='')
    try:
        with _quiet():
            _fill(found, cfg, folder, domain, images)
    # whatever fails: the leaderboard's row of a long training is kept without these numbers rather
    # than lost; what was found before stays
    except Exception as error:
        found['encoder_note'] = f'{type(error).__name__}: {str(error)[:200]}'
        print_log(f'{folder}: no report on its encoder: {found["encoder_note"]}', logger='current')
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, mmengine logs no line about each parameter of each network that is initialized."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        yield
    finally:
        logger.setLevel(level)


def _fill(found: dict[str, Any], cfg: Config, folder: Path, domain: str, images: int) -> None:
    """Set in ``found``, of :func:`encoder_report`, what can be had; the note says what cannot."""
    # by iteration, from iter_<N>.pth
    checkpoints = {int(path.stem.removeprefix('iter_')): path for path in folder.glob('iter_*.pth')}
    if not checkpoints:
        found['encoder_note'] = 'no checkpoint is left'
        return
    trained = load_model(cfg, str(checkpoints[max(checkpoints)]), 'cpu')
    # two beginnings: what differs between them began at random
    start, other = (start_of(cfg, seed) for seed in (0, 1))
    encoders = [_encoder(model) for model in (trained, start, other)]
    found['encoder_distance'] = distance(*encoders)
    notes = [] if found['encoder_distance'] is not None else ['the encoder began at random']
    # one loader without a name, which scores call 'val', or one for each domain
    single = 'dataset' in cfg.val_dataloader
    loader = cfg.val_dataloader if single else cfg.val_dataloader[domain]
    if images_only(loader['dataset']):
        notes.append(f'{domain} has no masks to probe with')
    else:
        samples = _samples(loader['dataset'], trained.data_preprocessor, images)
        found['probe'] = probe(encoders[0], samples)
        # notes has an entry: the encoder began at random, so there is no start worth probing
        found['probe_of_start'] = probe(encoders[1], samples) if not notes else None
        notes += ['too many channels for a probe'] if found['probe'] is None else []
    found['encoder_note'] = '; '.join(notes)


def start_of(cfg: Config, seed: int) -> nn.Module:
    """The model as a training begins: pretrained files, and ``load_from`` where there is one.

    Args:
        cfg: Of the run.
        seed: Of the parameters that no file gives, which are drawn at random.

    Returns:
        The model on the CPU in evaluation mode; the random state of this process is as before.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg_dg'))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS.build(cfg.model)
        model.init_weights()
    if cfg.get('load_from'):
        if (cfg.get('train_cfg') or {}).get('new_classifier'):
            # the method then loads all of the checkpoint but its classifier, which has other
            # classes; in a training the loop sets this
            model.new_classifier = True
        state = CheckpointLoader.load_checkpoint(str(cfg.load_from), map_location='cpu')
        load_state_dict(model, state.get('state_dict', state), strict=False)
    return model.eval()


def _encoder(model: Any) -> nn.Module:
    """The encoder of the network that predicts, in evaluation mode; its adapters are merged into
    their layers in place, so that parameters of before and after training have the same names.
    """
    network = evaluated_network(model)
    merge_adapters(network)
    return network.backbone.eval()


def distance(trained: nn.Module, start: nn.Module, other: nn.Module) -> Optional[float]:
    """How far an encoder's parameters are from those it began with: the length of the difference
    over the length of the start, ``|w - w0| / |w0|``.

    Args:
        trained: The encoder.
        start, other: It at its start, twice: what differs between them had begun at random and is
            left out.

    Returns:
        0 for a frozen encoder; None where more than a hundredth of it began at random.
    """
    first, second = dict(start.named_parameters()), dict(other.named_parameters())
    moved_squared = start_squared = 0.
    random_count = total_count = 0  # of single numbers
    for name, weight in trained.named_parameters():
        begin = first[name].detach().double()
        total_count += weight.numel()
        if torch.equal(first[name], second[name]):
            moved_squared += float((weight.detach().double() - begin).square().sum())
            start_squared += float(begin.square().sum())
        else:
            random_count += weight.numel()
    if not start_squared or random_count > _RANDOM * total_count:
        return None
    return math.sqrt(moved_squared / start_squared)


def _samples(dataset_config: Any, preprocessor: Any, images: int) -> list[tuple[Tensor, Tensor]]:
    """Preprocessed images (1, 3, H, W) with labels (h, w) int64 at the probe's stride, evenly from
    a dataset in its order; twice as many as ``images``, or all."""
    dataset = build_checked(dataset_config)
    dataset.full_init()
    number = min(2 * images, len(dataset))  # one half to learn from, one to be judged on
    found = []
    for index in np.linspace(0, len(dataset) - 1, number).round().astype(int).tolist():
        sample = dataset[index]
        data = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        inputs = preprocessor(data, False)['inputs']
        label = sample['data_samples'].gt_sem_seg.data.float()[None]  # (1, 1, H, W)
        # one place per STRIDE pixels of the image that the network sees
        size = tuple(max(1, side // STRIDE) for side in inputs.shape[-2:])
        found.append((inputs, F.interpolate(label, size, mode='nearest')[0, 0].long()))
    return found


@torch.no_grad()
def probe(encoder: nn.Module, samples: list[tuple[Tensor, Tensor]]) -> Optional[float]:
    """mIoU of a linear classifier on an encoder's last map: ridge regression on the first half of
    the images, judged on the second, over the classes that occur there.

    It orders encoders on one set of images and is no score of a network.

    Args:
        encoder: Images (1, 3, H, W) -> maps, the last one (1, C, h', w').
        samples: Images with labels (h, w), see :func:`_samples`.

    Returns:
        In percent; None for so many channels that it would be dear.
    """
    # highest id that occurs (255: no label) plus 1
    classes = 1 + max(
        (int(ids.max()) for _, label in samples if (ids := label[label < 255]).numel()), default=0)
    half, ridge = len(samples) // 2, None
    counts = np.zeros((classes, classes), np.int64)  # rows: true classes, columns: predicted ones
    for number, (image, label) in enumerate(samples):
        maps = encoder(image)
        last = maps[-1] if isinstance(maps, (list, tuple)) else maps
        features = stacked_maps([last], pair(label.shape))  # (C, h, w)
        if ridge is None:
            # it keeps a matrix of (C + 1) x (C + 1) numbers of 8 bytes per class
            if classes * (len(features) + 1)**2 * 8 > _MOST:
                return None
            ridge = RidgeProbe(len(features), classes)
        if number < half:
            ridge.add(features, label)
            continue
        if number == half:
            weights = ridge.solve(_BALANCE)
        predicted = ridge_logits(features, weights).argmax(0)
        counts += confusion_matrix(predicted, label, classes)
    occurring = np.flatnonzero(counts.sum(1)).tolist()
    return scores(counts, occurring).miou
