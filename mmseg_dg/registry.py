"""Registries of mmseg_dg: children of mmseg's, grandchildren of mmengine's.

With ``default_scope = 'mmseg_dg'`` a bare ``type='EncoderDecoder'`` is looked for here, then in
mmseg, then in mmengine. ``Registry.get`` imports the ``locations`` of the registry it is asked on,
not those of its ancestors, so mmseg's packages are repeated in ours.

Keep this module light: mmengine swallows an ImportError raised while importing it and then silently
builds from the wrong registry.
"""
from mmengine.registry import Registry
from mmseg import registry as _mmseg

#: Name of a registry -> packages that are imported before it is searched.
_LOCATIONS = {
    'RUNNERS': ['mmseg_dg.engine'],
    'RUNNER_CONSTRUCTORS': [],
    'LOOPS': ['mmseg_dg.engine'],
    'HOOKS': ['mmseg.engine', 'mmseg_dg.engine'],
    'DATASETS': ['mmseg.datasets', 'mmseg_dg.datasets'],
    'DATA_SAMPLERS': ['mmseg_dg.datasets'],
    'TRANSFORMS': ['mmseg.datasets', 'mmseg_dg.datasets'],
    'MODELS': ['mmseg.models', 'mmseg_dg.models', 'mmseg_dg.methods.registered'],
    'MODEL_WRAPPERS': ['mmseg_dg.engine'],
    'WEIGHT_INITIALIZERS': ['mmseg.models', 'mmseg_dg.models', 'mmseg_dg.methods.registered'],
    'OPTIMIZERS': ['mmseg.engine'],
    'OPTIM_WRAPPERS': ['mmseg.engine', 'mmseg_dg.engine'],
    'OPTIM_WRAPPER_CONSTRUCTORS': ['mmseg.engine', 'mmseg_dg.engine'],
    'PARAM_SCHEDULERS': ['mmseg.engine', 'mmseg_dg.engine'],
    'METRICS': ['mmseg.evaluation', 'mmseg_dg.evaluation'],
    'EVALUATOR': ['mmseg.evaluation', 'mmseg_dg.evaluation'],
    'TASK_UTILS': ['mmseg.models', 'mmseg_dg.models'],
    'VISUALIZERS': ['mmseg.visualization', 'mmseg_dg.visualization'],
    'VISBACKENDS': ['mmseg.visualization'],
    'LOG_PROCESSORS': ['mmseg_dg.evaluation'],
    'INFERENCERS': [],
}


def _child(key: str) -> Registry:
    """This package's registry for a key of ``_LOCATIONS``: a child of mmseg's of the same name."""
    parent = getattr(_mmseg, key)
    return Registry(parent.name, parent=parent, scope='mmseg_dg', locations=_LOCATIONS[key])


RUNNERS = _child('RUNNERS')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
LOOPS = _child('LOOPS')
HOOKS = _child('HOOKS')
DATASETS = _child('DATASETS')
DATA_SAMPLERS = _child('DATA_SAMPLERS')
TRANSFORMS = _child('TRANSFORMS')
MODELS = _child('MODELS')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS')
OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')
METRICS = _child('METRICS')
EVALUATOR = _child('EVALUATOR')
TASK_UTILS = _child('TASK_UTILS')
VISUALIZERS = _child('VISUALIZERS')
VISBACKENDS = _child('VISBACKENDS')
LOG_PROCESSORS = _child('LOG_PROCESSORS')
INFERENCERS = _child('INFERENCERS')
