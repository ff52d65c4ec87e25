"""What ``tools/doctor.py`` says about cached features."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmseg_dg.datasets.crop_setting import training_loaders
from mmseg_dg.datasets.seeded import SeededDataset
from mmseg_dg.registry import DATA_SAMPLERS, MODELS
from mmseg_dg.utils.seeding import local_seed

from .cached_features import CachedFeatures, Stream


def feature_lines(cfg: Any) -> list[str]:
    """Folder, fingerprint and size of a config's cached features, one line per stream; nothing is
    written.

    The network is built and its weights are read, because the fingerprint holds them; for features
    that are still to be built, one batch is encoded.

    Args:
        cfg: ``Config`` or dict.

    Returns:
        Empty without ``train_cfg.cached_features``. Lines with ``ERROR`` name what training would
        stop at.
    """
    arguments = (cfg.get('train_cfg') or {}).get('cached_features')
    if arguments is None:
        return []
    try:
        return _lines(cfg, arguments)
    except Exception as error:  # whatever building the network raises: training stops there
        return [f'ERROR: {type(error).__name__}: {error}']


def _lines(cfg: Any, arguments: Mapping) -> list[str]:
    """What cached features of this config would be, one line per stream, from the method as a run
    would build it; ``arguments`` are those of ``train_cfg.cached_features``.
    """
    model = cfg.model if isinstance(cfg, Config) else cfg['model']
    with local_seed(0):  # building draws random weights: the caller's random state stays
        method = MODELS.build(model)
    settings = CachedFeatures.from_arguments(arguments, method)
    # a run would load this file after the model is built, and the fingerprint depends on its
    # weights, which are not read here
    if cfg.get('load_from'):
        return [f'not checked: the encoder gets its weights from load_from={cfg["load_from"]}']
    assert settings is not None  # there are arguments
    with local_seed(0):
        method.init_weights()
    streams = {}
    for name, config in training_loaders(cfg).items():
        if config is not None:
            dataset = SeededDataset(config['dataset'], name=name)
            sampler = DATA_SAMPLERS.build(
                dict(config.get('sampler') or dict(type='StatefulInfiniteSampler'), seed=0),
                default_args=dict(dataset=dataset),
            )
            # 1: the batch size of a stream without one, as in build_streams
            streams[name] = Stream(dataset, config.get('batch_size', 1), config, sampler)
    return settings.describe(method, streams, model['network'])
