"""Names for what is written per image: as its path below the image folder, and no two alike."""
import os.path as osp
from collections import Counter
from typing import Any

from .traits import traits
from .wrappers import flatten, leaves


def output_names(dataset: Any) -> dict[str, str]:
    """A name for the output of every image of a dataset.

    Args:
        dataset: Any; wrappers are looked through.

    Returns:
        {image path: relative path without ending}, for example ``{'data/val/a/1.jpg': 'a/1'}``.
        Images that differ in the ending alone keep it (``a/1.png`` and ``a/1.jpg``). Images of
        several folders are named from the folder that holds all of them. Datasets that do not say
        where their images are give an empty dict.
    """
    parts, which, local = flatten(dataset)
    paths = [
        parts[part].get_data_info(int(i)).get('img_path') for part, i in zip(which, local)
        if traits(parts[part]).describes_samples
    ]
    paths = list(dict.fromkeys(str(path) for path in paths if path))
    if not paths:
        return {}
    root = _root(dataset, paths)
    below = {path: _below(path, root) for path in paths}
    stems = {path: osp.splitext(name)[0] for path, name in below.items()}
    counts = Counter(stems.values())
    # a stem that several images have keeps the ending
    return {path: stem if counts[stem] == 1 else below[path] for path, stem in stems.items()}


def _root(dataset: Any, paths: list[str]) -> str:
    """The folder that predictions are named from: the image folder, or what several of them share;
    where images lie elsewhere (or datasets say no folder), what the images themselves share.
    """
    folders = []  # '' for a dataset that names none, or a remote one
    for leaf in leaves(dataset):
        folder = traits(leaf).image_folder
        folders.append(osp.abspath(folder) if folder and '://' not in folder else '')
    usable = all(folders)
    if usable and len(folders) == 1:  # a single folder must hold all images
        usable = all(osp.abspath(path).startswith(osp.join(folders[0], '')) for path in paths)
    if not usable:
        folders = [osp.dirname(osp.abspath(path)) for path in paths]
    return osp.commonpath(folders)


def _below(path: str, root: str) -> str:
    """The path relative to ``root``; for an image outside of it, without the ``../`` that would
    write its output elsewhere.
    """
    relative = osp.relpath(osp.abspath(path), root).split(osp.sep)
    return osp.sep.join(part for part in relative if part != osp.pardir)
