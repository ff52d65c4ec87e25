"""Margins without pseudo-labels belong to the images of certain datasets."""
from collections.abc import Iterator, Sequence
from typing import Any, Union

from mmseg_dg.methods.dacs import DACS
from mmseg_dg.registry import DATASETS

from .configs import leaf_configs
from .problems import with_fix


def margin_problems(method: Any, streams: dict[str, dict]) -> Iterator[ValueError]:
    """Errors for margins that a config inherits from one dataset and would apply to another.

    Args:
        method: With ``ignore_top``, ``ignore_bottom`` and ``margins_of`` (DACS), or anything else.
        streams: Dataloader configs by name.
    """
    trains_target = isinstance(method, DACS)
    # how many rows at the top and bottom have no pseudo-labels
    rows = (method.ignore_top, method.ignore_bottom) if trains_target else (0, 0)
    target = method.target_stream if trains_target else None
    for name, config in streams.items():
        for leaf in leaf_configs((config or {}).get('dataset')):
            kind = str(leaf.get('type', ''))
            if name == target and any(rows) and not _belongs(kind, method.margins_of):
                yield with_fix(
                    ValueError(
                        f'model.ignore_top={rows[0]} and ignore_bottom={rows[1]} are rows without '
                        f'pseudo-labels in images of {_names(method.margins_of)} (bonnet, '
                        f'rectification border), but stream "{name}" reads {kind}: set both to 0; '
                        'or, if your images have such rows, count them in the crop and set '
                        f"model.margins_of={kind!r} beside them"),
                    {'model.ignore_top': 0, 'model.ignore_bottom': 0})
            for step in leaf.get('pipeline', ()):
                if step.get('type') == 'PseudoLabelMargins' and not _belongs(kind, step.get('of')):
                    yield ValueError(
                        f'the pipeline of stream "{name}" has PseudoLabelMargins of '
                        f'{_names(step["of"])} (bonnet, rectification border), but the stream '
                        f"reads {kind}: write the pipeline with dict(type='PseudoLabelMargins') "
                        'instead; or, if your images have margins, with yours and '
                        f'of={kind!r}')


def _belongs(kind: str, owners: Union[str, Sequence[str], None]) -> bool:
    """Whether the dataset class named ``kind`` is one of ``owners`` or derived from one; without
    owners (None) margins fit any dataset.
    """
    if owners is None:
        return True
    cls = DATASETS.get(kind)
    names = {base.__name__ for base in cls.__mro__} if cls is not None else {kind}
    return bool(names.intersection([owners] if isinstance(owners, str) else owners))


def _names(owners: Union[str, Sequence[str]]) -> str:
    """One or several names of dataset classes, as text."""
    return owners if isinstance(owners, str) else ', '.join(owners)
