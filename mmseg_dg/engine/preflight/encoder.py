"""Checks of what the encoder starts from."""
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.logging import print_log

from mmseg_dg.weights.files import RANDOM, check_file, requested_files

#: How to give weights, for the end of a message.
_HOW = (
    "model.network.backbone.init_cfg=dict(type='Pretrained', checkpoint='pretrained/...'); random "
    'weights on purpose: init_cfg=None')


def weight_problems(model: Any) -> Iterator[Exception]:
    """Errors for pretrained files that a model config asks for and that are not there.

    Args:
        model: The model's config; anything else is not looked at.
    """
    if not isinstance(model, Mapping):
        return
    for key, path in requested_files(model):
        try:
            check_file(path, key)
        except FileNotFoundError as error:
            # the advice RANDOM (random weights instead) in one line with the rest, for a list
            yield FileNotFoundError(str(error).replace(f'\n{RANDOM}', f'. {RANDOM}'))
        except ValueError as error:
            yield error


def encoder_problems(runner: Any, method: Any) -> Iterator[ValueError]:
    """An error for an encoder without weights in a method that lives on pretrained ones.

    Others may be trained so; the log says it at the beginning. ``init_cfg=None`` in the config says
    it on purpose.

    Args:
        runner: With its config, for ``load_from`` and ``resume``.
        method: Its ``encoder_start`` is ``'absent'`` where the config says nothing about weights,
            its ``needs_pretrained_encoder`` the reason against random ones, '' without any.
    """
    if method.encoder_start != 'absent' or _filled_otherwise(runner, method):
        return
    kind = type(method.student.backbone).__name__
    reason = method.needs_pretrained_encoder
    if reason:
        yield ValueError(f'{type(method).__name__}: the encoder {kind} has no init_cfg and would '
                         f'start from random weights, but {reason}: give {_HOW}')
    else:
        print_log(
            f'the encoder {kind} has no init_cfg: it starts from RANDOM weights. Pretrained '
            f'ones: {_HOW}', logger='current', level=logging.WARNING)


def _filled_otherwise(runner: Any, method: Any) -> bool:
    """Whether a checkpoint or the method's own ``init_cfg`` (PretrainedDenoiser) brings weights.

    ``_load_from`` and ``_resume`` of mmengine's runner are its arguments of these names.
    """
    return bool(runner._load_from or runner._resume or method.init_cfg)
