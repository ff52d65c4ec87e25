"""How one domain of an evaluation is treated: its part in the study, how the network predicts it,
what to note.
"""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Optional

from torch import nn

from mmseg_dg.utils.modules import evaluated_network

#: ``source``: validation data of a training domain, listed apart from the mean. ``target``: never
#: trained on.
ROLES = ('', 'source', 'target')
_KEYS = ('role', 'test_cfg', 'note')


@dataclass(frozen=True)
class DomainProtocol:
    """One domain's protocol; what concerns images (sizes, crops, frames) stands in the domain's own
    pipeline.

    Attributes:
        role: One of :data:`ROLES`; a source does not enter the mean over domains.
        test_cfg: Overrides of the network's ``test_cfg`` while the domain is predicted, e.g.
            ``dict(mode='slide', crop_size=(768, 768), stride=(512, 512))``.
        note: A sentence for the report.
    """
    role: str = ''
    test_cfg: Optional[Mapping] = None
    note: str = ''


def build_protocols(config: Optional[Mapping], domains: Sequence[str]) -> dict[str, DomainProtocol]:
    """A protocol for every domain.

    Args:
        config: ``{domain: dict(role=..., test_cfg=..., note=...)}``; domains it does not name have
            nothing special.
        domains: Names of the domains.

    Raises:
        ValueError: A name that is no domain, an unknown key or role, or an incomplete ``test_cfg``.
    """
    config = config or {}
    unknown = [name for name in config if name not in domains]
    if unknown:
        raise ValueError(f'protocols names {unknown}, but the domains are {list(domains)}: a child '
                         'config that replaces domains needs _delete_=True in protocols as well')
    return {name: _build(name, config.get(name) or {}) for name in domains}


def _build(name: str, config: Mapping) -> DomainProtocol:
    """The protocol of the domain ``name`` from its config; ValueError for unknown keys or values.
    """
    unknown = [key for key in config if key not in _KEYS]
    if unknown:
        raise ValueError(
            f'protocols.{name} has the unknown keys {unknown}; known are {list(_KEYS)}')
    if config.get('role', '') not in ROLES:
        raise ValueError(f"protocols.{name}.role={config['role']!r} must be 'source' or 'target' "
                         "(or be left out)")
    test_cfg = config.get('test_cfg')
    if test_cfg is not None and test_cfg.get('mode', 'whole') not in ('whole', 'slide'):
        raise ValueError(f"protocols.{name}.test_cfg.mode={test_cfg['mode']!r} must be 'whole' or "
                         "'slide'")
    return DomainProtocol(config.get('role', ''), test_cfg, config.get('note', ''))


def check_test_cfg(model: nn.Module, name: str, protocol: DomainProtocol) -> None:
    """Refuse a protocol's ``test_cfg`` that does not go with the network of the domain ``name``.

    Raises:
        ValueError: The network has no ``test_cfg``, or windows slide without ``crop_size`` and
            ``stride``.
    """
    if protocol.test_cfg is None:
        return
    network = evaluated_network(model)
    if not isinstance(getattr(network, 'test_cfg', None), dict):
        raise ValueError(f'protocols.{name}.test_cfg: {type(network).__name__} has no test_cfg to '
                         'override')
    merged = {**network.test_cfg, **protocol.test_cfg}
    missing = [key for key in ('crop_size', 'stride') if key not in merged]
    if merged.get('mode', 'whole') == 'slide' and missing:
        raise ValueError(
            f"protocols.{name}.test_cfg has mode='slide' without {missing}: set them there or in "
            'the network')


@contextmanager
def predicting_as(model: nn.Module, protocol: DomainProtocol) -> Iterator[None]:
    """Inside, the network predicts with the protocol's ``test_cfg`` over its own; afterwards with
    its own again.
    """
    if protocol.test_cfg is None:
        yield
        return
    # in place: a method may make its network anew at each call (DeFT's pairs), but all of them hold
    # this object
    shared = evaluated_network(model).test_cfg
    own = dict(shared)
    shared.update(protocol.test_cfg)
    try:
        yield
    finally:
        shared.clear()
        shared.update(own)
