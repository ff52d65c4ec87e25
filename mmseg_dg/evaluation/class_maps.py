"""Which classes are scored: named subsets and maps from train ids to scored classes."""
from collections.abc import Mapping, Sequence
from typing import Optional, Union

#: Classes of Cityscapes that a named subset leaves out. SYNTHIA has no terrain, truck and train;
#: the 13-class score also leaves out the thin and rare wall, fence and pole.
LEFT_OUT = {
    'synthia16': ('terrain', 'truck', 'train'),
    'synthia13': ('terrain', 'truck', 'train', 'wall', 'fence', 'pole'),
}

ClassSubset = Union[str, Sequence[Union[str, int]]]
LabelMap = Union[Sequence[int], Mapping[Union[str, int], int]]


def resolve_subset(subset: Optional[ClassSubset],
                   classes: Sequence[str]) -> Optional[tuple[int, ...]]:
    """Ids of the scored classes.

    Args:
        subset: Name of a subset (:data:`LEFT_OUT`), or class names and ids, or None for all.
        classes: Names of all classes, in id order.

    Returns:
        Sorted ids, or None for all.

    Raises:
        ValueError: An unknown subset, class name or id, or nothing left.
    """
    if subset is None:
        return None
    if isinstance(subset, str):
        if subset not in LEFT_OUT:
            raise ValueError(f'classes_subset={subset!r} is unknown: use one of '
                             f'{sorted(LEFT_OUT)}, or list class names')
        unknown = [name for name in LEFT_OUT[subset] if name not in classes]
        if unknown:
            raise ValueError(f'classes_subset={subset!r} leaves out {unknown}, which the dataset '
                             f'does not have; its classes are {list(classes)}')
        return tuple(i for i, name in enumerate(classes) if name not in LEFT_OUT[subset])
    ids = sorted({class_id(entry, classes, 'classes_subset') for entry in subset})
    if not ids:
        raise ValueError('classes_subset is empty: list at least one class, or leave it out to '
                         'score all')
    return tuple(ids)


def resolve_label_map(label_map: LabelMap, classes: Sequence[str], num_scored: int,
                      ignore_index: int) -> list[int]:
    """Scored id of each class.

    Args:
        label_map: List with one scored id per class, or a dict from class name (or id) to scored
            id; classes a dict does not name are ignored.
        classes: Names of the classes that are mapped, in id order.
        num_scored: Number of scored classes.
        ignore_index: Scored id that means "not scored".

    Returns:
        One id per class, each in [0, num_scored) or ``ignore_index``.

    Raises:
        ValueError: Wrong length, unknown class, or a scored id out of range.
    """
    if isinstance(label_map, Mapping):
        table = [ignore_index] * len(classes)
        for key, value in label_map.items():
            table[class_id(key, classes, 'label_map')] = int(value)
    else:
        table = [int(value) for value in label_map]
        if len(table) != len(classes):
            raise ValueError(f'label_map has {len(table)} entries for {len(classes)} classes: give '
                             f'one scored id per class, in the order {list(classes)}')
    bad = sorted({i for i in table if i != ignore_index and not 0 <= i < num_scored})
    if bad:
        raise ValueError(f'label_map maps to {bad}, but scored_classes has ids 0..{num_scored - 1} '
                         f'(and {ignore_index} for "not scored")')
    return table


def class_id(name_or_id: Union[str, int], classes: Sequence[str], what: str) -> int:
    """Id of a class given by name or id; ValueError, with the argument's name ``what``, where there
    is no such class.
    """
    if isinstance(name_or_id, str):
        if name_or_id not in classes:
            raise ValueError(
                f'{what} names the class {name_or_id!r}, which is not among {list(classes)}')
        return list(classes).index(name_or_id)
    if not 0 <= int(name_or_id) < len(classes):
        raise ValueError(f'{what} has the class id {name_or_id}, outside 0..{len(classes) - 1}')
    return int(name_or_id)
