"""Changes of the pipelines of a recipe that ``mmseg_dg.suggest`` makes: rescaling, and crops that
show rare classes.

Each function takes the configs of a pipeline's steps and returns a new list.
"""
from typing import Optional


def with_rescaling(steps: list[dict], longer: Optional[int]) -> list[dict]:
    """A pipeline with one rescaling, in place of any that it has.

    Args:
        steps: Configs of the steps; one of them loads the image.
        longer: Longer side in pixels to which images are resized; None: no rescaling.
    """
    rest = [step for step in steps if step['type'] != 'Resize']
    if longer is None:
        return rest
    # the rescaling goes in front of ``rest[place]``: directly behind the image's loading
    place = 1 + max(i for i, step in enumerate(rest) if step['type'].startswith('LoadImage'))
    loads_labels = [
        i for i, step in enumerate(rest)
        if step['type'] in ('LoadAnnotations', 'PseudoLabelMargins')
    ]
    trains = any(step['type'] == 'PackStreamInputs' for step in rest)
    # in training labels are rescaled with their image, so it goes behind their loading too; where
    # scores are taken labels stay as they are
    if trains and loads_labels:
        place = 1 + max(loads_labels)
    resize = dict(type='Resize', scale=(longer, longer), keep_ratio=True)
    return [*rest[:place], resize, *rest[place:]]


def with_rare_class_crop(steps: list[dict], crop_size: tuple[int, int],
                         min_pixels: int) -> list[dict]:
    """A pipeline whose ``RandomCrop`` is replaced by ``RareClassCrop``.

    Args:
        steps: Configs of the steps.
        crop_size: (height, width) in pixels.
        min_pixels: Pixels of the class that the image was drawn for that a crop should show.
    """
    changed = []
    for step in steps:
        if step['type'] == 'RandomCrop':
            step = dict(type='RareClassCrop', crop_size=crop_size, min_crop_pixels=min_pixels,
                        cat_max_ratio=step.get('cat_max_ratio', 0.75))
        changed.append(step)
    return changed
