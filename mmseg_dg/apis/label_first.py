"""A list of images and regions to label first, made from a trained network and a folder without
masks."""
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

from torch import nn

from mmseg_dg.evaluation.label_free_metric import two_channels
from mmseg_dg.ops.label_first import Region, score_regions
from mmseg_dg.utils.atomic_files import write_text, written_whole
from mmseg_dg.version import __version__

from .inference import iter_predict
from .inputs import Input, list_inputs
from .predict_files import LIST_SUFFIXES, listed

REGION_HEADER = [
    'rank', 'image', 'x1', 'y1', 'x2', 'y2', 'score', 'uncertainty', 'impurity', 'classes'
]


@dataclass
class Ranked:
    """One image.

    Attributes:
        name: Path as given, for people.
        below: Path below the folder, with ending, for lists of a dataset (``ann_file``).
        score: Mean score of its regions, 0..1; a higher one is worth labeling first.
        regions: All of them, the highest score first.
    """
    name: str
    below: str
    score: float
    regions: list[Region] = field(default_factory=list)


def rank_images(model: nn.Module, source: Union[str, Path], region_size: int = 128,
                batch_size: int = 1) -> list[Ranked]:
    """Images in the order in which labels are worth most, by
    :func:`mmseg_dg.ops.label_first.score_regions`.

    Args:
        model: Of :func:`mmseg_dg.apis.load_model`.
        source: An image, a folder, a pattern or a text file with one path per line.
        region_size: Side of a region in pixels of the image.
        batch_size: Images of one size that go through the network together.

    Returns:
        All images, the highest score first, of equal ones in the order of their names.

    Raises:
        FileNotFoundError: No such image.
        ValueError: A network that gives classes without logits, or a region size below 1.
    """
    if region_size < 1:
        raise ValueError(
            f'region_size is the side of a region in pixels, at least 1, got {region_size}')
    source = str(source)
    items = listed(source) if source.lower().endswith(LIST_SUFFIXES) else list_inputs(source)[0]
    found: list[Ranked] = []

    def observe(group: Sequence[Input], batch: dict, outputs: Sequence[Any]) -> None:
        """Score the images of one batch while they are predicted: ``iter_predict`` calls it with
        the images, their batch and the network's samples, whose logits are not kept afterwards.
        """
        for item, output in zip(group, outputs):
            if 'seg_logits' not in output:
                raise ValueError(
                    f'{item.name}: the network gives classes without logits, so nothing says how '
                    'sure it is')
            regions = score_regions(two_channels(output.seg_logits.data), region_size)
            score = sum(region.score for region in regions) / len(regions)
            found.append(
                Ranked(item.name, item.below or Path(item.name).name, score,
                       sorted(regions, key=lambda r: (-r.score, r.box))))

    for _ in iter_predict(model, items, batch_size, observe=observe):
        pass  # predictions are not needed: ``observe`` has filled ``found``
    return sorted(found, key=lambda image: (-image.score, image.below))


def write_lists(ranked: Sequence[Ranked], out: Union[str,
                                                     Path], classes: Sequence[str], images: int,
                regions: int, per_image: int = 4, origin: Union[dict, None] = None) -> list[Path]:
    """Write what to label, for people and for a dataset.

    ``images.csv`` (every image with rank and score), ``regions.csv`` (the ``regions`` highest, at
    most ``per_image`` of one image; x2 and y2 excluded), ``label_first.json`` (both for the chosen,
    and where they come from), ``labeled.txt`` and ``unlabeled.txt`` (the chosen images and the
    others, one name per line below the folder: the ``ann_file`` of two streams).

    Args:
        ranked: Of :func:`rank_images`.
        out: Folder; made where it is missing.
        classes: Class names.
        images: How many images are chosen.
        regions: How many regions are chosen, of any images.
        per_image: Most regions of one image.
        origin: Goes into the JSON file as it is (config, checkpoint).

    Returns:
        The files.

    Raises:
        ValueError: More images than there are, or numbers below 0.
    """
    if not 0 <= images <= len(ranked) or regions < 0 or per_image < 1:
        raise ValueError(
            f'{images} images cannot be chosen of {len(ranked)} (regions {regions}, at most '
            f'{per_image} of an image): give a number from 0 to the number of images, and at '
            'least 0 regions')
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows = _region_rows(ranked, classes, regions, per_image)
    _table(out / 'images.csv', ['rank', 'image', 'score'],
           [[rank, image.below, image.score] for rank, image in enumerate(ranked, 1)])
    _table(out / 'regions.csv', REGION_HEADER, rows)
    write_text(out / 'labeled.txt', ''.join(f'{image.below}\n' for image in ranked[:images]))
    write_text(out / 'unlabeled.txt', ''.join(f'{image.below}\n' for image in ranked[images:]))
    write_text(out / 'label_first.json', _as_json(ranked[:images], rows, origin or {}))
    return [
        out / name for name in ('images.csv', 'regions.csv', 'label_first.json', 'labeled.txt',
                                'unlabeled.txt')
    ]


def _region_rows(ranked: Sequence[Ranked], classes: Sequence[str], regions: int,
                 per_image: int) -> list[list]:
    """The ``regions`` highest regions of all images, at most ``per_image`` of one, as rows of
    ``REGION_HEADER``.
    """
    pairs = [(image, region) for image in ranked for region in image.regions[:per_image]]
    pairs.sort(key=lambda pair: -pair[1].score)  # stable: of equal ones the better image first
    return [
        _row(rank, image, region, classes)
        for rank, (image, region) in enumerate(pairs[:regions], 1)
    ]


def _as_json(chosen: Sequence[Ranked], rows: Sequence[list], origin: dict) -> str:
    """The text of ``label_first.json``: where the list comes from, the images in order, the
    regions.
    """
    score = ('mean entropy of the pixels x entropy of the predicted classes, both divided by '
             'log(classes)')
    images = [
        dict(rank=rank, image=image.below, score=image.score)
        for rank, image in enumerate(chosen, 1)
    ]
    return json.dumps(
        dict(made_by=f'mmseg_dg {__version__}', **origin, score=score, images=images,
             regions=[dict(zip(REGION_HEADER, row)) for row in rows]), indent=1)


def _row(rank: int, image: Ranked, region: Region, classes: Sequence[str]) -> list:
    """A row of ``REGION_HEADER``, the names of its classes in one cell: blanks separate them, so
    blanks inside a name become ``_``.
    """
    y1, y2, x1, x2 = region.box
    return [
        rank, image.below, x1, y1, x2, y2, region.score, region.uncertainty, region.impurity,
        ' '.join(str(classes[i]).replace(' ', '_') for i in region.classes)
    ]


def _table(path: Path, header: list, rows: list) -> None:
    """Write a CSV file, whole or not at all."""
    with written_whole(path) as part, open(part, 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *rows])
