"""What a user calls from Python."""
from .inference import adapt, build_runner, iter_predict, load_model, predict
from .inputs import Input, list_inputs
from .prediction import Prediction

__all__ = ['Input', 'Prediction', 'adapt', 'build_runner', 'iter_predict', 'list_inputs', 'load_model', 'predict']
