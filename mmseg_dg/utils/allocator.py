"""Memory of a training on a CPU: taken once, not once for every map."""
import ctypes
import os
import sys
from typing import Optional

from torch import nn

# parameters of glibc's mallopt (malloc.h)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_PAD = 64 * 2**20  # bytes by which the heap grows at least


def keep_freed_memory(model: Optional[nn.Module] = None) -> bool:
    """Let this process keep memory that it frees, for its next allocation.

    The C library takes large blocks from the system and gives them back when they are freed; the
    system clears each page anew when it is touched. A training step makes hundreds of maps of some
    MiB: a sixth of its time goes there (docs/benchmarks/speed.md). The process holds its peak until
    it ends.

    Args:
        model: Where any of its parameters is not on the CPU, nothing is done. None: not asked.

    Returns:
        Whether the process keeps freed memory from now on; False where ``model`` is not on the
        CPU, the C library is not glibc, or ``MALLOC_...`` variables of the environment already
        configure it.
    """
    if model is not None and any(p.device.type != 'cpu' for p in model.parameters()):
        return False
    if not sys.platform.startswith('linux') or any(n.startswith('MALLOC_') for n in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (_MMAP_MAX, 0),  # large blocks come from the heap, not from a mapping of their own
        (_TRIM_THRESHOLD, -1),  # the free end of the heap is never given back
        (_TOP_PAD, _PAD))
    return all(mallopt(*setting) for setting in settings)  # mallopt gives 1 for success
