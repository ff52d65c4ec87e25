"""What label ids mean."""


def check_ignore_index(num_classes: int, ignore_index: int) -> None:
    """Refuse a label of ignored pixels that is a class too: its pixels would be ignored without a word.

    Args:
        num_classes: Classes are 0..num_classes-1.
        ignore_index: Outside of them; negative values are.

    Raises:
        ValueError: It is one of them.
    """
    if 0 <= ignore_index < num_classes:
        raise ValueError(f'{num_classes} classes have the ids 0..{num_classes - 1}, but {ignore_index} also marks '
                         'ignored pixels (ignore_index): 8-bit labels hold at most 255 classes beside it. Join '
                         'classes (label_map), or give ignore_index a value that is no class where labels are wider')
