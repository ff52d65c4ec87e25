"""What label ids mean."""
#: Most classes that masks of 8 bits can have: ids 0..254, and 255 for ignored pixels.
MOST_CLASSES = 255


def check_ignore_index(num_classes: int, ignore_index: int) -> None:
    """Refuse a label of ignored pixels that is a class too: its pixels would be ignored without a
    word.

    Args:
        num_classes: Classes are 0..num_classes-1.
        ignore_index: Outside of them; negative values are.

    Raises:
        ValueError: It is one of them.
    """
    if 0 <= ignore_index < num_classes:
        raise ValueError(f'{num_classes} classes have the ids 0..{num_classes - 1}, but '
                         f'{ignore_index} also marks ignored pixels (ignore_index): 8-bit labels '
                         'hold at most 255 classes beside it. Join classes (label_map), or give '
                         'ignore_index a value that is no class where labels are wider')


def too_many_classes(where: str, count: int) -> str:
    """The message for ``count`` classes, with what is possible instead; ``where`` says who has
    them.
    """
    return (f'{where}: {count} classes, but masks have 8 bits and 255 means "ignore", so at most '
            f'{MOST_CLASSES} with the ids 0..{MOST_CLASSES - 1} are possible. Join rare classes '
            '(label_map of FolderDataset gives several ids one class), or leave some out '
            f'(label_map={{ID: 255}})')
