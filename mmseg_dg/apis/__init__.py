"""What a user calls from Python."""
from .config_rows import load_config
from .inference import adapt, build_runner, iter_predict, load_model, predict
from .inputs import Input, list_inputs
from .prediction import Prediction

__all__ = ['Input', 'Prediction', 'adapt', 'build_runner', 'iter_predict', 'list_inputs', 'load_config',
           'load_model', 'predict']
