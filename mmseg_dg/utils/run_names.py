"""Several runs in one process: each has its own logger, message hub and visualizer.

mmengine keeps these by name, and finds "the current one" as the last that was made. The name of a
run has the time in whole seconds; two runs that begin within one would share everything.
"""
import itertools
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

_count = itertools.count()  # how many runs of this process were named before


def name_run(cfg: Config) -> None:
    """Give a config a run name of its own, from the second run of this process on.

    Args:
        cfg: Changed in place: ``experiment_name``, and ``visualizer.name`` where that is in use.
    """
    number = next(_count)  # 0 for the first run, which keeps the names of its config
    if number and not cfg.get('experiment_name'):
        cfg.experiment_name = f'{Path(cfg.filename or "run").stem}_{number}'
    elif number:
        cfg.experiment_name = f'{cfg.experiment_name}_{number}'
    visualizer = cfg.get('visualizer')
    # mmengine keeps visualizers by name for the whole process
    if isinstance(visualizer, dict) and visualizer.get('name') in Visualizer._instance_dict:
        visualizer['name'] = f'{visualizer["name"]}_{number}'


def make_current(runner: Any) -> None:
    """Let ``get_current_instance`` find the logger, message hub and visualizer of this run, not
    those of the run that was built last.
    """
    for kind, key in ((MMLogger, 'logger'), (MessageHub, 'message_hub'), (Visualizer,
                                                                          'visualizer')):
        instance = getattr(runner, key, None)
        name = getattr(instance, 'instance_name', None)
        instances = kind._instance_dict  # mmengine's, in the order of building; last is "current"
        if instance is not None and instances.get(name) is instance and next(
                reversed(instances)) != name:
            instances[name] = instances.pop(name)  # to the end
