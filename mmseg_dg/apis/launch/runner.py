"""From a config, or the arguments of a command line, to the runner."""
import argparse
import copy
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_dg.apis.config_rows import name_of
from mmseg_dg.apis.row_configs import load_config as load_row
from mmseg_dg.registry import RUNNERS
from mmseg_dg.utils.run_names import name_run
from mmseg_dg.weights.files import missing_weights

from .options import warn_unknown_options

ConfigLike = Union[str, Path, Config]


def load_config(args: argparse.Namespace) -> Config:
    """The config that a command line asks for: ``args.config`` with ``--row``, ``--subset``,
    ``--cfg-options``, ``--launcher`` and ``--work-dir`` applied.
    """
    cfg = load_row(args.config, vars(args).get('row'), vars(args).get('subset'))
    if args.cfg_options is not None:
        warn_unknown_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / name_of(cfg))
    return cfg


def check_weights(cfg: Config) -> None:
    """Refuse a training whose files of weights are not there, before its model is built.

    Raises:
        FileNotFoundError: The files, each with what to do about it.
    """
    found = list(dict.fromkeys(str(error) for _, error in missing_weights(cfg)))
    if found:
        raise FileNotFoundError('\n'.join(found))


def build_runner(config: ConfigLike, work_dir: Optional[str] = None,
                 options: Optional[dict[str, Any]] = None) -> Runner:
    """The runner a config describes; several in one process do not disturb each other.

    Args:
        config: File, name of one of the package's configs, or :class:`mmengine.config.Config`; a
            row of a config is ``mmseg_dg.apis.load_config(config, row=...)``.
        work_dir: Where logs and checkpoints go; None keeps the config's, or
            ``work_dirs/<config>[_<row>][_<subset>]``.
        options: Dotted settings to override, as ``--cfg-options`` does, e.g.
            ``{'train_cfg.max_iters': 100}``.
    """
    cfg = config_of_run(config, work_dir, options)
    # mmengine keeps loggers and visualizers by name: from the second run of a process on each run
    # gets a name of its own
    name_run(cfg)
    return RUNNERS.build(cfg) if cfg.get('runner_type') else Runner.from_cfg(cfg)


def config_of_run(config: ConfigLike, work_dir: Optional[str] = None,
                  options: Optional[dict[str, Any]] = None) -> Config:
    """The config that :func:`build_runner` builds, with its work dir; the arguments are the same.

    A :class:`Config` that is given stays as it is.
    """
    cfg = read_config(config)
    if options:
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / name_of(cfg))
    return cfg


def read_config(config: ConfigLike) -> Config:
    """A config that the caller may change: read from a file (or the name of one of the package's
    configs), or a copy of another config.
    """
    # a deep copy: the runner writes into parts of what it is given, the visualizer's folder for one
    return copy.deepcopy(config) if isinstance(config, Config) else load_row(config)
