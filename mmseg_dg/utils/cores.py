"""Processor cores a process may use."""
import os


def available_cores() -> int:
    """Cores this process may run on: those it is bound to, where the system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1
