"""From a DDeP checkpoint into a segmentation network: what is loaded, dropped and initialized."""
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from .comparison import difference
from .files import check_file, read_state_dict

#: Parts of a network that denoising pretraining does not make: they start fresh.
FRESH = ('decode_head.conv_seg.', 'auxiliary_head.')
#: Buffers that older files may lack and nothing reads.
IGNORED = 'num_batches_tracked'
#: Buffers of the method DDeP itself, outside of its networks: neither loaded nor reported.
SETTINGS = ('step_skipped', 'encoder_mean', 'encoder_std')


class DenoiserReport(NamedTuple):
    """Names of tensors by what happened to them.

    Attributes:
        loaded: Of the network, filled from the checkpoint.
        dropped: Of the checkpoint, without a place in the network (the noise head).
        initialized: Of the network, left as they were initialized (the segmentation head).
    """
    loaded: list[str]
    dropped: list[str]
    initialized: list[str]


def load_denoiser(network: nn.Module, path: Union[str, Path], encoder: bool = True,
                  preprocessor: Optional[nn.Module] = None) -> DenoiserReport:
    """Fill encoder and decoder of a segmentor from a checkpoint of the method DDeP, strictly, and
    log what was done.

    The noise head is dropped; the segmentation head (and an auxiliary head) stays as it was
    initialized.

    Args:
        network: Segmentor with ``backbone`` and ``decode_head``.
        path: Checkpoint of a DDeP training.
        encoder: Load the encoder as well; False keeps the network's own (decoder only).
        preprocessor: Of the network's images; must normalize as the encoder was fed in the
            pretraining.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no DDeP checkpoint, has no decoder weights, or its network or
            normalization is another one.
    """
    check_file(str(path), 'PretrainedDenoiser')
    state = read_state_dict(path)
    _check_is_denoiser(state, path)
    _check_normalization(state, preprocessor, path)
    # the network that was pretrained, under the names of ``network``
    theirs = {k[len('student.'):]: v for k, v in state.items() if k.startswith('student.')}
    dropped = [k for k in state if not k.startswith('student.') and k not in SETTINGS]
    if not encoder:
        dropped += [f'student.{k}' for k in theirs if k.startswith('backbone.')]
        theirs = {k: v for k, v in theirs.items() if not k.startswith('backbone.')}
    ours = network.state_dict()
    fresh = FRESH if encoder else ('backbone.', *FRESH)  # what the file need not have
    _check_fits(ours, theirs, fresh, path)
    network.load_state_dict(theirs, strict=False)  # not strict: ``fresh`` is missing
    initialized = [k for k in ours if k not in theirs and not k.endswith(IGNORED)]
    report = DenoiserReport(sorted(theirs), dropped, initialized)
    print_log(
        f'{path}: loaded {_summary(report.loaded)}; dropped {_summary(report.dropped)}; '
        f'initialized afresh {_summary(report.initialized)}', logger='current')
    return report


def _check_is_denoiser(state: Mapping[str, Tensor], path: Union[str, Path]) -> None:
    """Refuse (ValueError) files that are no checkpoint of denoising pretraining."""
    # the first two parts of the names, the first eight of these, for the messages
    starts = sorted({'.'.join(k.split('.')[:2]) for k in state})[:8]
    if not any(k.startswith('student.decode_head.') for k in state):
        raise ValueError(f'{path} has no decoder weights: its keys begin with {starts}, expected '
                         'student.decode_head.* of a DDeP checkpoint. A pretrained encoder alone '
                         'belongs in network.backbone.init_cfg')
    if not any(k.startswith('noise_head.') for k in state):
        raise ValueError(f'{path} is no checkpoint of the method DDeP: it has no noise_head.* '
                         f'(keys begin with {starts}). Segmentation checkpoints are loaded with '
                         'load_from')


def _check_normalization(state: Mapping[str, Tensor], preprocessor: Optional[nn.Module],
                         path: Union[str, Path]) -> None:
    """Refuse (ValueError) a preprocessor that feeds the encoder otherwise than the pretraining did,
    in any stream.

    Compared are the preprocessor's buffers ``mean`` and ``std`` and DDeP's ``encoder_mean`` and
    ``encoder_std``; where one side lacks a mean or std, it is not compared.

    Args:
        state: Tensors of the DDeP checkpoint.
        preprocessor: One for all streams, or with others for some of them in its plain dict
            ``streams`` (``MultiStreamDataPreprocessor``). None: nothing is compared.
        path: Of the checkpoint, for the message.
    """
    if preprocessor is None:
        return
    preprocessors = {'data_preprocessor': preprocessor}  # key in the config -> preprocessor
    for name, part in vars(preprocessor).get('streams', {}).items():
        preprocessors[f'data_preprocessor.streams.{name}'] = part
    for where, part in preprocessors.items():
        for key in ('mean', 'std'):
            ours = dict(part.named_buffers(recurse=False)).get(key)
            theirs = state.get(f'encoder_{key}')
            if theirs is None or ours is None:
                continue
            # (1, 3, 1, 1) and (3, 1, 1) -> (3,)
            theirs, ours = (v.detach().flatten().cpu().float() for v in (theirs, ours))
            if theirs.shape != ours.shape or not torch.allclose(theirs, ours, atol=1e-3):
                raise ValueError(
                    f'{path} was trained with encoder_norm {key} {theirs.tolist()}, but the config '
                    f'has {where}.{key}={ours.tolist()}: pretraining and finetuning must normalize '
                    "with the encoder's own mean and std")


def _check_fits(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], fresh: tuple[str, ...],
                path: Union[str, Path]) -> None:
    """Refuse (ValueError) a checkpoint whose network is not that of the config.

    Args:
        ours: State dict of the config's network.
        theirs: Tensors of the checkpoint under the same names.
        fresh: Beginnings of names that the checkpoint need not have.
        path: Of the checkpoint, for the message.
    """
    found = difference(ours, theirs,
                       may_lack=lambda name: name.startswith(fresh) or name.endswith(IGNORED),
                       may_exceed=lambda name: name.endswith(IGNORED))
    missing, unexpected = found.missing, found.unexpected
    if found.shapes:
        shapes = [
            f'{name}: {file_shape} in the file, {config_shape} in the config'
            for name, file_shape, config_shape in found.shapes
        ]
        raise ValueError(f'{path} was trained with other widths than the config ({len(shapes)} '
                         f'tensors differ): {"; ".join(shapes[:3])}. Give decode_head the '
                         'width_multiplier (or channels, widths) of the pretraining')
    if missing or unexpected:
        raise ValueError(f'{path} holds another network than the config: missing ({len(missing)}) '
                         f'{missing[:5]}, unexpected ({len(unexpected)}) {unexpected[:5]}. Use the '
                         'backbone and decode_head of the pretraining')


def _summary(names: list[str]) -> str:
    """Number of tensors by part: ``backbone (312 tensors), decode_head (40 tensors)``.

    A classifier is named apart from its head (``decode_head.conv_seg``), as are the parts below
    ``student.``.
    """
    counts: dict[str, int] = {}
    for name in names:
        parts = name.split('.')
        depth = 2 if 'conv_seg' in name or name.startswith('student.') else 1
        part = '.'.join(parts[:depth])
        counts[part] = counts.get(part, 0) + 1
    return ', '.join(f'{part} ({count} tensors)' for part, count in counts.items()) or 'nothing'
