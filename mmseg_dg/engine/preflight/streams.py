"""Checks of the built streams as a whole: their names, sizes and overlap."""
import os.path as osp
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from mmengine.dist import get_world_size

from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.wrappers import flatten
from mmseg_dg.utils.arguments import accepted_arguments

from .paste import keys_written
from .problems import with_fix


def check_streams(method: Any, loaders: Any) -> None:
    """Refuse streams of the config that are not those the method reads.

    Raises:
        ValueError: A missing or an unknown stream.
    """
    for error in stream_name_problems(method, loaders.names):
        raise error


def stream_name_problems(method: Any, names: Sequence[str],
                         filename: Optional[str] = None) -> Iterator[ValueError]:
    """An error for streams that the method does not read, and those it misses.

    Args:
        method: Has ``streams``; its constructor takes their names.
        names: Streams of the config.
        filename: The user's config file, which tells which streams he wrote himself.
    """
    missing = [s for s in method.streams if s not in names]
    unknown = [s for s in names if s not in method.streams]
    if not missing and not unknown:
        return
    yield with_fix(
        ValueError(f'{type(method).__name__} reads the streams {tuple(method.streams)}, but '
                   f'train_dataloader has {tuple(names)}: missing {missing or "none"}, unknown '
                   f'{unknown or "none"}. Rename the streams, or tell the method their names'),
        _renaming(method, missing, unknown, filename))


def _renaming(method: Any, missing: list[str], unknown: list[str],
              filename: Optional[str]) -> dict[str, Any]:
    """Settings that make method and config agree on the names of streams, where it is clear which
    is which.

    Args:
        method: Has ``streams``; its constructor takes their names.
        missing: Streams that the method reads and the config lacks.
        unknown: Streams of the config that the method does not read.
        filename: The user's config file.

    Returns:
        Config key -> value: the argument that takes another name, or None for a stream to delete;
        empty where nothing is clear.
    """
    accepted = accepted_arguments(type(method)) or ()
    # the constructor's arguments that name streams, in the order of ``method.streams``
    arguments = [
        name for name in ('stream', 'labeled_stream', 'unlabeled_stream', 'mix_stream',
                          'target_labeled_stream') if name in accepted
    ]
    fix: dict[str, Any] = {}
    # a config that inherits train_dataloader and adds a stream of its own has both: the inherited
    # one goes, the method reads the user's
    if not missing and len(unknown) == len(method.streams) == 1:
        written = keys_written(filename, 'train_dataloader')
        if unknown[0] in written and method.streams[0] not in written:
            missing, fix = list(method.streams), {f'train_dataloader.{method.streams[0]}': None}
    # each missing stream is the unknown one at its place: the method takes the config's names
    if len(missing) == len(unknown) and len(arguments) >= len(method.streams):
        fix.update({
            f'model.{arguments[method.streams.index(old)]}': new
            for old, new in zip(missing, unknown)
        })
        return fix
    # nothing is missing: surplus streams are switched off
    return {f'train_dataloader.{name}': None for name in unknown} if not missing else {}


def check_unlabeled(method: Any, loaders: Any) -> None:
    """Refuse unlabeled streams that do not fill a batch or share an image with a labeled one.

    Raises:
        ValueError: Fewer images than a batch, or an image in both kinds of streams.
    """
    unlabeled = [
        name for name in loaders.names
        if name in method.streams and name not in method.labeled_streams
    ]
    for name in unlabeled:
        size, batch = len(loaders[name].dataset), loaders[name].batch_size * get_world_size()
        if size < batch:
            raise ValueError(f'stream "{name}" has {size} images, fewer than one batch of {batch} '
                             '(batch size x processes): lower batch_size, or check the list and '
                             'folder of its dataset')
    names = [name for name in loaders.names if name in method.labeled_streams]
    if not names:
        return
    labeled = {path
               for name in names
               for path in image_paths(loaders[name].dataset)} if unlabeled else set()
    for name in unlabeled:
        both = sorted(labeled.intersection(image_paths(loaders[name].dataset)))
        if both:
            raise ValueError(f'stream "{name}" is unlabeled, but {len(both)} of its images are in '
                             f'a labeled stream too, for example {both[:3]}: their labels would '
                             'be used twice and their pseudo-labels be flattering. Correct the '
                             'lists (tools/make_split.py checks that they are disjoint)')


def image_paths(dataset: Any) -> set[str]:
    """Absolute image paths of a dataset's samples, as far as the datasets it is made of say them.
    """
    # the datasets inside wrappers; for each sample its dataset's position, and its number there
    parts, which, local = flatten(dataset)
    paths = (parts[part].get_data_info(int(i)).get('img_path') for part, i in zip(which, local)
             if traits(parts[part]).describes_samples)
    return {osp.abspath(path) for path in paths if path}
