"""One function over a long list, in several processes."""
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Callable

Bounds = tuple[int, int]

_function: Any = None  # in a worker process: what run_ranges was given; see _start


def chunks(size: int, length: int) -> list[Bounds]:
    """0..size cut into pieces (start, stop), stop excluded, of at most ``length``."""
    return [(start, min(start + length, size)) for start in range(0, size, length)]


def run_ranges(function: Callable[[Bounds], Any], ranges: list[Bounds],
               workers: int) -> Iterator[Any]:
    """``function(bounds)`` for each of ``ranges``, in order.

    The function goes to each process once, so it may hold a dataset or a large table; a task is two
    numbers. When the caller stops early (an error, Ctrl-C), tasks that have not begun are dropped.

    Args:
        function: Picklable.
        ranges: Pieces (start, stop), as :func:`chunks` makes them.
        workers: Processes; 1 or less: this one.
    """
    workers = min(workers, len(ranges))
    if workers <= 1:
        yield from map(function, ranges)
        return
    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(function, ))
    try:
        yield from pool.map(_call, ranges)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(function: Callable[[Bounds], Any]) -> None:
    """Begin a worker process: keep the function for all its pieces, and let OpenCV use one thread,
    because there is a process per core.
    """
    global _function
    import cv2
    cv2.setNumThreads(0)  # 0: work in the calling thread
    _function = function


def _call(bounds: Bounds) -> Any:
    """Apply the function of this worker process to one piece."""
    return _function(bounds)
