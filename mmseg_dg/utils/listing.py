"""A few of many names, for a message."""
from collections.abc import Iterable


def listed(names: Iterable[object], most: int = 6, separator: str = ', ', what: str = '') -> str:
    """``a, b and 3 more``: the first ``most`` names and the number of the others.

    Args:
        names: Anything that can be written as text.
        most: How many are named.
        separator: Between them.
        what: Word for the others: ``a, b and 3 more files``.

    Returns:
        The text, ``'none'`` where there are no names.
    """
    names = list(names)
    word = f' {what}' if what else ''
    rest = f' and {len(names) - most} more{word}' if len(names) > most else ''
    return (separator.join(map(str, names[:most])) or 'none') + rest
