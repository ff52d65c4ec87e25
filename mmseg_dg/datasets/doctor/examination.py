"""The whole examination: list, read, compare."""
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, Optional

import numpy as np
from torch import Tensor

from mmseg_dg.registry import DATASETS, MODELS
from mmseg_dg.utils.cores import available_cores
from mmseg_dg.utils.probe import SMALL_SIDE, unreadable
from mmseg_dg.utils.seeding import derive_seed, local_seed

from ..checks import check_leaf
from ..crops import crop_size
from ..padding import MOST_PADDING, padding_of
from ..traits import traits
from . import relations
from .faults import KINDS, Finding
from .files import Reading, Record, examine_sample
from .listing import Listing, list_entry
from .report import Report, StreamSummary
from .streams import Entry, entries

_SERIAL_BELOW = 64  # items that one process examines as fast as several
_PER_WORKER = 8  # fewer items than this are not worth a process
_QUICK_LABELS = 200  # labels that a quick examination reads of each stream


def examine(
    cfg: Any, streams: Optional[Sequence[str]] = None, quick: bool = False,
    num_workers: Optional[int] = None, ignore: Sequence[str] = (),
    progress: Optional[Callable[[str, int, int],
                                None]] = None, config_findings: Sequence[Finding] = ()
) -> Report:
    """Examine the data of a config.

    Args:
        cfg: ``Config`` or dict with dataloaders.
        streams: Only these (``source``, ``train/source``, ``val/cityscapes``); None: all.
        quick: Decode only some labels and no image completely.
        num_workers: Processes; None: all cores this process may use.
        ignore: Kinds of faults (keys of :data:`KINDS`) that are left out of the report.
        progress: ``progress(what, done, total)`` is called as samples are done.
        config_findings: Findings about the config that are no matter of its data (weights), for
            the same report.

    Raises:
        ValueError: A stream or kind that does not exist, or a config without any dataset.

    Returns:
        The report: a line per dataset, and all findings but those to ignore.
    """
    chosen = _choose(entries(cfg), streams)
    # run(function, items, what): results in order, from several processes
    run = partial(_run, num_workers=num_workers, progress=progress)
    listings = [list_entry(entry) for entry in chosen]
    summaries = []
    for listing in listings:
        expected = relations.add_wrong_count(listing)
        totals = _examine_files(listing, quick, run)
        summaries.append(StreamSummary.from_listing(listing, expected, totals))
    relations.add_duplicates(
        relations.same_content(listings, partial(run, what='comparing '
                                                 'files')))
    findings = [*relations.check_class_lists(listings, cfg), *config_findings]
    model = _LazyModel(cfg)
    # last: only datasets without an error so far are sent through pipeline and network
    for listing in listings:
        _try_pipeline(listing, model)
        findings += listing.findings
    return Report.from_findings(summaries, findings, listings, ignore)


def _choose(found: list[Entry], streams: Optional[Sequence[str]]) -> list[Entry]:
    """Entries of the streams asked for, by ``train/source``, ``source`` or ``train``."""
    if not found:
        raise ValueError('the config names no dataset: it has no train_dataloader or '
                         'val_dataloader with one')
    if not streams:
        return found
    names = {entry.stream for entry in found}
    wanted = set()
    for name in streams:
        matching = {n for n in names if name in (n, n.partition('/')[2], n.partition('/')[0])}
        if not matching:
            raise ValueError(f'no stream {name!r}; the config has {sorted(names)}')
        wanted |= matching
    return [entry for entry in found if entry.stream in wanted]


def _examine_files(listing: Listing, quick: bool, run: Callable) -> Optional[np.ndarray]:
    """Read every sample of a dataset; what is wrong with it is added to the listing.

    Args:
        listing: The dataset with its files.
        quick: Read a part of the labels, and no image completely.
        run: ``run(function, items, what=...)`` gives the results in order.

    Returns:
        Pixels of each id (256,) after the dataset's mapping, or None for an unlabeled stream.
    """
    if not listing.infos:
        return None
    known = traits(listing.dataset)
    reading = Reading(loader=listing.loader, num_classes=len(listing.classes),
                      ignore_index=known.ignore_index, backend_args=known.backend_args,
                      thorough=not quick, image_loader=listing.image_loader)
    count = len(listing.infos)
    with_label = np.ones(count, bool)
    if quick and count > _QUICK_LABELS:
        with_label[:] = False
        with_label[np.linspace(0, count - 1, _QUICK_LABELS).astype(int)] = True
    # pixels of each id in the files and after mapping; labels read
    raw, mapped, labels = np.zeros(256, np.int64), np.zeros(256, np.int64), 0
    smallest: Optional[tuple] = None  # (shorter side, area, index) of the smallest good image
    largest = -1  # value of an image of more than 8 bits
    records = run(partial(_check, reading=reading), list(zip(listing.infos, with_label.tolist())),
                  what=listing.stream)
    for index, (info, record) in enumerate(zip(listing.infos, records)):
        for kind, path, detail in record.problems:
            listing.add(kind, path, detail, info['img_path'])
        if record.raw is not None:
            raw, mapped, labels = raw + record.raw, mapped + record.mapped, labels + 1
        largest = max(largest, -1 if record.largest is None else record.largest)
        if record.size is not None and not any(KINDS[kind].severity == 'error'
                                               for kind, _, _ in record.problems):
            rank = (min(record.size), record.size[0] * record.size[1], index)
            smallest = min(smallest or rank, rank)
    listing.smallest = None if smallest is None else smallest[-1]  # its index in listing.infos
    relations.add_few_bits(listing, largest)
    relations.add_class_faults(listing, raw, mapped, labels, complete=labels == count)
    return mapped if listing.loader is not None else None


def _check(item: tuple[dict, bool], reading: Reading) -> Record:
    """Examine one sample, ``(info, whether its label is read)``; see :func:`examine_sample`."""
    return examine_sample(item[0], reading, item[1])


def _try_pipeline(listing: Listing, model: '_LazyModel') -> None:
    """Build the dataset as training does and send its smallest good sample through pipeline and
    network; what goes wrong becomes findings of the listing.
    """
    if listing.dataset is None or any(f.is_error or f.kind == 'not_checked'
                                      for f in listing.findings):
        return  # its faults have been named
    config = dict(listing.entry.config.items())  # as written: ``listing.dataset`` has no pipeline
    try:
        dataset = DATASETS.build(config)
        check_leaf(dataset)
        # if training reads other samples than were listed, the sizes found say nothing of those
        if listing.smallest is None or len(dataset) != listing.listed:
            return
        path = listing.infos[listing.smallest]['img_path']
        with local_seed(derive_seed('doctor', listing.stream)):
            sample = dataset[_position(dataset, path, listing.smallest)]
    except Exception as error:
        listing.add('refused', listing.entry.key, f'{type(error).__name__}: {error}')
        return
    found = padding_of(dataset) if listing.entry.trains else None
    if found is not None and found.share > MOST_PADDING:
        listing.add('padding', listing.entry.key, found.text)
    if isinstance(sample, dict) and isinstance(sample.get('inputs'), (Tensor, np.ndarray)):
        _try_small(listing, dataset, sample, path, model)


def _try_small(listing: Listing, dataset: Any, sample: dict, path: str,
               model: '_LazyModel') -> None:
    """Add a finding if the smallest image of a dataset does not fit: it is smaller than the crop of
    training, or the network cannot read it.

    Args:
        listing: The dataset; the finding is added to it.
        dataset: Built with its pipeline.
        sample: Its smallest image after the pipeline.
        path: Of that image.
        model: The network, which is built when it is needed.
    """
    height, width = sample['inputs'].shape[-2:]
    crop = crop_size(dataset) if listing.entry.trains else None
    if crop is not None:
        if height < crop[0] or width < crop[1]:
            listing.add(
                'small_image', path, f'{width}x{height} (width x height) after the '
                f'pipeline, the crop wants {crop[1]}x{crop[0]}', path)
        return
    # no crop to compare with: the network is tried, where the image is small enough to matter
    if min(height, width) >= SMALL_SIDE or 'type' not in model.config:
        return
    try:
        network = model.get()
    except Exception:  # a wrong model is found when it is trained; the doctor examines data
        return
    problem = unreadable(network, sample)
    if problem:
        listing.add('small_image', path, f'{width}x{height} (width x height) after the pipeline: '
                    f'{problem}', path)


class _LazyModel:
    """The model of a config, with random weights, built when it is needed.

    Attributes:
        config: The config of the model; empty if there is none.
    """
    def __init__(self, cfg: Any) -> None:
        self.config = cfg.get('model') or {}
        self._model: Any = None

    def get(self) -> Any:
        """The model, built at the first call."""
        if self._model is None:
            with local_seed(0):
                self._model = MODELS.build(self.config)
        return self._model


def _position(dataset: Any, path: str, index: int) -> int:
    """Index in ``dataset`` of the image ``path``, whose index in ``listing.infos`` is ``index``:
    the same unless files are missing, which the listing leaves out. 0 if the image is nowhere.
    """
    if dataset.get_data_info(index).get('img_path') == path:
        return index
    return next(
        (i for i in range(len(dataset)) if dataset.get_data_info(i).get('img_path') == path), 0)


# ---------------------------------------------------------------- several processes
_work: Optional[Callable] = None  # in a worker process: what it does with each item


def _start(function: Callable) -> None:
    """Begin a worker process: one thread each, and the function for all its items."""
    global _work
    import cv2
    cv2.setNumThreads(0)
    _work = function


def _in_worker(item: Any) -> Any:
    """The result of one item, by the function that this worker process was started with."""
    assert _work is not None  # set as the process starts
    return _work(item)


def _run(function: Callable, items: Sequence, what: str = '', num_workers: Optional[int] = None,
         progress: Optional[Callable[[str, int, int], None]] = None) -> Iterable:
    """``function`` of each item, in order, from several processes where it is worth them.

    ``progress`` is called with ``what`` and the numbers of items done and in all.
    """
    workers = min(available_cores() if num_workers is None else num_workers,
                  len(items) // _PER_WORKER)

    def reporting(results: Iterable) -> Iterable:
        """The results as they come, with a call of ``progress`` for each."""
        for done, result in enumerate(results, 1):
            if progress is not None:
                progress(what, done, len(items))
            yield result

    if workers <= 1 or len(items) < _SERIAL_BELOW:
        yield from reporting(map(function, items))
        return
    # the function goes to each process once; items come in chunks of at most 32, four or more of
    # them for each process
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(function, )) as pool:
        yield from reporting(
            pool.map(_in_worker, items, chunksize=max(1, min(32,
                                                             len(items) // (4 * workers)))))
