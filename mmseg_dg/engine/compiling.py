"""``train_cfg.compile``: encoders and decoders as compiled by ``torch.compile``.

A training step is several passes with decisions of the host between them, which no compiler takes
as one graph. What costs are the networks; each is compiled for itself, in place, so that names in
checkpoints stay.
"""
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Union

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import nn

from mmseg_dg.methods.teacher import EMATeacher

#: Arguments of ``torch.compile`` that a config may give.
OPTIONS = ('backend', 'mode', 'dynamic', 'fullgraph', 'options')
_COMPILERS = ('g++', 'clang++', 'c++', 'cl')


def compile_networks(method: nn.Module, options: Union[bool, Mapping, None]) -> int:
    """Compile every encoder of a method and the part of every decoder that makes feature maps.

    Random numbers (dropout, drop path) are drawn as without the compiler, so that losses are equal
    to rounding. The first step of each kind takes long (minutes).

    Args:
        method: Student, teachers and frozen copies are found in it.
        options: Arguments of ``torch.compile`` (``dict(mode='max-autotune')``); True: its defaults;
            None or False: nothing is compiled.

    Returns:
        Number of modules.

    Raises:
        ValueError: Unknown options, or ``torch.compile`` cannot run here; the message says why.
    """
    if options is None or options is False:
        return 0
    options = {} if options is True else dict(options)
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ValueError(f'train_cfg.compile takes {OPTIONS} of torch.compile, not {unknown}')
    reason = why_not(options, next(method.parameters()).device)
    if reason:
        raise ValueError(f'train_cfg.compile: torch.compile cannot run here: {reason}. Set '
                         'train_cfg.compile=None')
    if options.get('backend', 'inductor') == 'inductor':
        # its own generator would draw other numbers than torch's
        import torch._inductor.config as inductor
        inductor.fallback_random = True
    count = 0
    for encoder, head in _networks(method):
        # Module.compile works in place: the forward is compiled, names of parameters stay
        if encoder is not None:
            encoder.compile(**options)
            count += 1
        head = getattr(head, 'head', head)  # HRDA's head wraps the one that both scales share
        fused = getattr(head, 'fused_features', None)
        if fused is not None:  # called by this name, not as a module
            # an attribute of the instance, which hides the method of the class
            vars(head)['fused_features'] = torch.compile(fused, **options)
            count += 1
    print_log(
        f'compile: {count} networks, options {options or "default"}; the first steps are slow',
        logger='current')
    return count


def why_not(options: Mapping[str, Any], device: torch.device) -> Optional[str]:
    """Why ``torch.compile`` would fail here, None where nothing is known against it."""
    from torch._dynamo import is_dynamo_supported, list_backends
    if not is_dynamo_supported():
        return f'torch {torch.__version__} does not compile with this Python'
    backend = options.get('backend', 'inductor')
    if isinstance(backend, str) and backend not in list_backends(exclude_tags=()):
        return f'backend={backend!r} is none of {list_backends(exclude_tags=())}'
    if backend != 'inductor':
        return None
    if device.type == 'cpu':
        chosen = os.environ.get('CXX')  # the user's compiler, which torch takes alone
        if not any(shutil.which(name) for name in ([chosen] if chosen else _COMPILERS)):
            return f'its inductor backend needs a C++ compiler, and there is none ' \
                   f'({chosen or ", ".join(_COMPILERS)})'
    elif device.type == 'cuda':
        from torch.utils._triton import has_triton
        if not has_triton():
            return 'its inductor backend needs Triton and a GPU that Triton supports'
    return None


def _networks(method: BaseModel) -> Iterator[tuple[Optional[nn.Module], Optional[nn.Module]]]:
    """The networks of a method, once each: student, averages and ImageNet copy, as (encoder, decode
    head); None for a part that one does not have.
    """
    yield method.student.backbone, getattr(method.student, 'decode_head', None)
    for average in method.modules():
        if isinstance(average, EMATeacher):
            parts = dict(average.module.named_children())  # DeFT has an average of each
            yield parts.get('backbone'), parts.get('decode_head')
    # the frozen copy of the ImageNet encoder, of methods with a feature distance
    if getattr(method, 'imnet', None) is not None:
        yield method.imnet, None
