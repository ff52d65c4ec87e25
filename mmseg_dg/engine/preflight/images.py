"""Checks of image files before anything is decoded, and what the log says about them."""
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Optional

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import Tensor, nn

from mmseg_dg.datasets.crops import crop_size
from mmseg_dg.datasets.folder_scan import is_local
from mmseg_dg.datasets.image_header import read_header
from mmseg_dg.datasets.messages import DOCTOR
from mmseg_dg.datasets.traits import traits
from mmseg_dg.datasets.transforms import LoadImageFromFile
from mmseg_dg.datasets.usage import usage_of
from mmseg_dg.datasets.wrappers import flatten, leaves, transforms_of
from mmseg_dg.engine.named_loaders import NamedLoaders
from mmseg_dg.models.backbones.encoder_interfaces import HasTokens
from mmseg_dg.models.segmentors.network import interface_of
from mmseg_dg.utils.modules import child, network_of
from mmseg_dg.utils.probe import SMALL_SIDE, unreadable
from mmseg_dg.utils.seeding import local_seed

from .problems import Problems

_SECONDS = 60.  # after which the rest of the headers is left to tools/doctor.py
_THREADS = 8
_NAMED = 5  # files a message names


class ImageFile(NamedTuple):
    """One image of a loader.

    Attributes:
        index: Its number in the loader's dataset.
        path: File.
        header: :class:`~mmseg_dg.datasets.image_header.ImageHeader`; None if it could not be read.
        problem: Why it cannot be used; '' if it can.
    """
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    path: str
    header: Any
    problem: str = ''


def log_usage(what: str, dataset: Any) -> None:
    """Say in the log how many images a stream or domain uses, how many files of its folder were
    left out, and why.

    Args:
        what: ``stream "source"`` or ``validation domain "own"``.
        dataset: Any; wrappers are looked through.
    """
    if not is_main_process():
        return
    for leaf in leaves(dataset):
        usage = usage_of(leaf)
        print_log(f'{what}: {usage.text}', logger='current',
                  level=logging.WARNING if usage.is_doubtful else logging.INFO)


def check_headers(what: str, dataset: Any, seconds: float = _SECONDS) -> list[ImageFile]:
    """Read the header of every image of a stream or domain and refuse those that could not be used.

    Args:
        what: As for :func:`log_usage`.
        dataset: Any; only datasets that load with this package's ``LoadImageFromFile`` from local
            files are read.
        seconds: After this time the rest is left to the doctor; images are read in an order that is
            spread over the whole dataset.

    Returns:
        The images that were read.

    Raises:
        ValueError: Images that are deeper than ``bit_depth`` says, have channels no network takes,
            or more pixels than ``max_pixels``; files that are no images. The first of each kind are
            named.
    """
    targets = list(_targets(dataset))
    # images 0, 64, 128, ... first, then 1, 65, ...: what the time suffices for is spread
    order = sorted(range(len(targets)), key=lambda i: (i % 64, i))
    images: list[ImageFile] = []
    limit = time.monotonic() + seconds
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(order), 512):  # the clock is read between portions
            if time.monotonic() > limit:
                print_log(
                    f'{what}: {len(images)} of {len(targets)} images were looked at in '
                    f"{seconds:.0f} s; 'python tools/doctor.py CONFIG' looks at "
                    'all', logger='current')
                break
            images += pool.map(_read, [targets[i] for i in order[start:start + 512]])
    _raise_problems(what, images)
    _log_channels(what, images)
    return sorted(images)


def _targets(dataset: Any) -> Iterator[tuple[int, str, Any]]:
    """The images that can be looked at: (number in the dataset, path, step that loads it) each."""
    # the datasets inside wrappers; for each sample its dataset's position, and its number there
    parts, which, local = flatten(dataset)
    steps = [
        next((s for s in transforms_of(traits(part).pipeline) if isinstance(s, LoadImageFromFile)),
             None) for part in parts
    ]
    met = set()  # (dataset, index) so far: a repeated dataset's images are read once
    for number, (part, index) in enumerate(zip(which, local)):
        leaf, step = parts[part], steps[part]
        if step is None or not traits(leaf).describes_samples or (part, index) in met:
            continue
        met.add((part, index))
        path = leaf.get_data_info(int(index)).get('img_path')
        if path and is_local(path, step.backend_args):
            yield number, str(path), step


def _read(target: tuple[int, str, Any]) -> ImageFile:
    """Header of one image and what its loading step says against it; ``target`` is one of those of
    :func:`_targets`.
    """
    index, path, step = target
    try:
        header = read_header(path)
    except OSError as error:
        text = str(error)
        # without the path, so that equal faults of several files are one kind
        return ImageFile(index, path, None,
                         text[len(path) + 2:] if text.startswith(f'{path}: ') else text)
    return ImageFile(index, path, header, step.problem(header))


def _raise_problems(what: str, images: Sequence[ImageFile]) -> None:
    """One error for all unusable images, the commonest kind of fault first."""
    bad = [file for file in images if file.problem]
    if not bad:
        return
    kinds: dict[str, list[ImageFile]] = {}
    for file in sorted(bad):
        kinds.setdefault(file.problem, []).append(file)
    texts = []
    for problem, files in sorted(kinds.items(), key=lambda item: -len(item[1]))[:_NAMED]:
        similar = f' (and {len(files) - 1} more of this kind)' if len(files) > 1 else ''
        texts.append(f'{files[0].path}{similar}: {problem}')
    raise ValueError(f'{what}: {len(bad)} of {len(images)} images cannot be used: '
                     + '; '.join(texts)
                     + f'. Leave them out with a list (ann_file), or mend them. {DOCTOR}')


def _log_channels(what: str, images: Iterable[ImageFile]) -> None:
    """Log how many images have an alpha channel, are gray or have more than 8 bits, and what
    becomes of them.
    """
    headers = [file.header for file in images if file.header is not None]
    for text, count in ((f'{what}: %d images have an alpha channel, which is not used: transparent '
                         'pixels show the color they are saved with',
                         sum(header.alpha for header in headers)),
                        (f'{what}: %d images are gray; they are repeated over three channels',
                         sum(header.channels == 1 for header in headers)),
                        (f'{what}: %d images have more than 8 bits and are scaled by bit_depth',
                         sum(header.bits > 8 for header in headers))):
        if count and is_main_process():
            mixed = '' if count == len(headers) else f' (of {len(headers)})'
            print_log(text % count + mixed, logger='current', level=logging.INFO)


# ---------------------------------------------------------------- images a network cannot read
def smallest(files: Sequence[ImageFile]) -> Optional[ImageFile]:
    """The image with the shortest side; None if there is none."""
    readable = [file for file in files if file.header is not None]
    return min(readable, key=lambda f: (min(f.header.height, f.header.width), f.header.pixels),
               default=None)


def check_smallest(what: str, model: nn.Module, dataset: Any, files: Sequence[ImageFile],
                   trains: bool) -> None:
    """Send the smallest image through its pipeline, before iteration 0 instead of after thousands.

    Args:
        what: As for :func:`log_usage`.
        model: The method.
        dataset: Of the stream or domain.
        files: Its images.
        trains: A stream, of which a fixed size is cut; else a domain whose images are predicted as
            they are.

    Raises:
        ValueError: It is smaller than the crop of training, or the network cannot read an image
            that small.
    """
    file = smallest(files)
    if file is None:
        return
    crop = crop_size(dataset) if trains else None  # (height, width)
    limit = max(crop) if crop else SMALL_SIDE  # pixels: larger images are not worth a try
    if min(file.header.height, file.header.width) >= limit:
        return
    with local_seed(0):
        sample = dataset[file.index]
    if not isinstance(sample, dict) or not isinstance(sample.get('inputs'), Tensor):
        return  # several views of one image, as test-time augmentation makes them
    height, width = sample['inputs'].shape[-2:]
    problem = ''
    if crop:
        if height < crop[0] or width < crop[1]:
            problem = f'the crop wants {crop[1]}x{crop[0]}'
    else:
        problem = unreadable(model, sample)  # '' for an image that it can predict
        problem = problem and f'the network cannot read it: {problem}'
    if problem:
        raise ValueError(f'{what}: {file.path} is {file.header.width}x{file.header.height} (width '
                         f'x height), {width}x{height} after its pipeline; {problem}. Leave images '
                         'that small out with a list (ann_file), or enlarge them in the pipeline '
                         '(Resize, Pad)')


def check_patches(what: str, method: nn.Module, dataset: Any, trains: bool) -> None:
    """Refuse sizes that an encoder of patches does not take, before iteration 0 instead of at the
    first validation.

    Args:
        what: As for :func:`log_usage`.
        method: The method; looked at are plain networks whose encoder knows ``token_grid``.
        dataset: Of the stream or domain; without a crop, its first image is loaded.
        trains: A stream; else a domain, whose windows are those of ``test_cfg``.

    Raises:
        ValueError: The crop, window or first image cannot be cut into patches.
    """
    network = network_of(method)
    encoder = child(network, 'backbone')
    if not isinstance(encoder, HasTokens) or not interface_of(network).plain:  # several resolutions
        return
    test_cfg = network.test_cfg or {}
    if trains:
        size = crop_size(dataset)
    else:
        size = test_cfg.get('crop_size') if test_cfg.get('mode') == 'slide' else None
    if size is None:
        with local_seed(0):
            sample = dataset[0]
        if not isinstance(sample, dict) or not isinstance(sample.get('inputs'), Tensor):
            return
        size = sample['inputs'].shape[-2:]
    try:
        encoder.token_grid(*size)  # (height, width); its ValueError has the advice
    except ValueError as error:
        raise ValueError(f'{what}: {error}') from error


def check_images(problems: Problems, runner: Any, method: nn.Module, streams: Any) -> None:
    """Log the use of every stream and validation domain, and check headers and smallest images.

    Args:
        problems: What :func:`check_headers` and :func:`check_smallest` find is added to it.
        runner: With its validation loop built.
        method: That is trained.
        streams: ``{name: loader}`` of the training loop.
    """
    domains: Any = None if runner.val_loop is None else runner.val_loop.dataloader
    named = [(f'stream "{name}"', loader) for name, loader in streams.items()]
    if isinstance(domains, NamedLoaders):
        named += [(f'validation domain "{name}"', loader) for name, loader in domains.items()]
    elif domains is not None:
        named += [('validation', domains)]
    for what, loader in named:
        log_usage(what, loader.dataset)
        problems.check(_check_one, what, method, loader.dataset, what.startswith('stream'))


def _check_one(what: str, method: nn.Module, dataset: Any, trains: bool) -> None:
    """All checks of one stream (``trains``) or domain; raises ValueError at the first fault."""
    check_smallest(what, method, dataset, check_headers(what, dataset), trains)
    check_patches(what, method, dataset, trains)
