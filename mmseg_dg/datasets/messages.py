"""What several checks of data say."""
from mmseg_dg.utils.listing import listed

_NAMED = 5  # files a message names

#: Ends the messages about files, of which there may be more.
DOCTOR = "'python tools/doctor.py CONFIG' examines every file and names all that are wrong"


def missing_message(owner: str, what: str, missing: list[str], total: int, hint: str) -> str:
    """The text of the error for missing files: how many, and the first few of them.

    Args:
        owner: Name of the dataset's class.
        what: Subject of the sentence, ends before ``missing``: ``'listed images are'``.
        missing: Paths or names of the missing files.
        total: How many files were looked for.
        hint: What to do, without a full stop.
    """
    named = listed(map(repr, missing), _NAMED)
    return f'{owner}: {len(missing)} of {total} {what} missing: {named}. {hint}. {DOCTOR}'


def wrong_ids_message(files: dict, num_classes: int, ignore_index: int, unnamed: int = 0) -> str:
    """The text of the error for label ids that are no classes.

    Args:
        files: {path: its wrong ids} of some files; ten ids of each are named.
        num_classes: Ids below it are classes.
        ignore_index: The id that is ignored.
        unnamed: How many more files have wrong ids.
    """
    named = '; '.join(f'{path}: {ids[:10]}' for path, ids in files.items())
    rest = f' and {unnamed} more files' if unnamed else ''
    return (
        f'label ids outside 0..{num_classes - 1} that are not ignore_index={ignore_index}: '
        f'{named}{rest}. Raw ids need converting to train ids (dataset option raw_ids=True where '
        'it exists), other numbers a map (label_map of FolderDataset, {255: 1} for binary 0/255 '
        'masks), and a 0 that means "background, do not train" needs reduce_zero_label=True. '
        f'{DOCTOR}')
