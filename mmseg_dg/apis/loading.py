"""``mmseg_dg.load``: whatever a training or an export left, ready to segment images.

Shapes: H x W pixels.
"""
import json
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from mmseg_dg.utils.checkpoint_reader import CheckpointError
from mmseg_dg.utils.work_dir import best_of, lying_in
from mmseg_dg.weights.shipped import PREFIX, card

from .export.metadata import with_tuples
from .inference import load_model, predict
from .predict_files import predict_files

#: The config that training without a config writes, and the work dir beside it.
CONFIG, RUN = 'config.py', 'run'


class Segmenter:
    """A trained network with its images' way into it.

    Args:
        model: As :func:`~mmseg_dg.apis.inference.load_model` gives it.
        file: The weights it has, for people.

    Attributes:
        model: The network, or its training method, in evaluation mode.
        classes: Names of the classes, in the order of their ids; () where nothing knows them.
        palette: (red, green, blue) of each class, or None.
        file: See above.
    """
    def __init__(self, model: nn.Module, file: Union[str, Path]) -> None:
        self.model = model
        # shipped weights keep their address: Path would make mmseg_dg://NAME mmseg_dg:/NAME
        self.file = file if str(file).startswith(PREFIX) else Path(file)
        meta = getattr(model, 'dataset_meta', None) or {}
        self.classes: tuple[str, ...] = tuple(meta.get('classes') or ())
        self.palette: Optional[list] = meta.get('palette')

    def predict(self, inputs: Any, batch_size: int = 1, confidence: bool = False) -> Any:
        """Class ids int64 (H, W) of an image, a list for several; see
        :func:`mmseg_dg.apis.predict`."""
        return predict(self.model, inputs, batch_size, confidence)

    def predict_files(self, inputs: Any, out: Union[str, Path], overlay: bool = True,
                      confidence: bool = False, batch_size: int = 1) -> Path:
        """Write label maps, class shares and overlays of images, a folder or a video; returns
        the folder."""
        return predict_files(self.model, str(inputs), str(out), overlay, confidence,
                             batch_size).folder

    def __repr__(self) -> str:
        return f'Segmenter({len(self.classes)} classes, {self.file})'


def load(source: Union[str, Path], device: Union[str, torch.device, None] = None) -> Segmenter:
    """A trained network from what a training or an export left.

    Args:
        source: A folder that training wrote: the best checkpoint if one was kept, else the newest.
            A checkpoint, with its config beside it. A file of ``tools/export.py``
            (``.safetensors``, ``.pth``). ``mmseg_dg://NAME``.
        device: None takes a GPU if there is one.

    Raises:
        FileNotFoundError: Nothing there, no checkpoint in the folder, or no config beside the
            checkpoint.
        ValueError: A config, or a file of another kind; graphs (``.onnx``, ``.pt2``) are run
            without this package.
    """
    path = Path(source)
    if path.suffix == '.safetensors' and path.is_file():
        return _load_safetensors(path, device)
    config, checkpoint = model_files(source)
    return Segmenter(load_model(config, checkpoint, device), checkpoint)


def model_files(source: Union[str, Path]) -> tuple[str, str]:
    """Config and checkpoint of what a training left.

    Args:
        source: As :func:`load`, without files of ``tools/export.py --to safetensors``.

    Returns:
        Path of the config, and path of the checkpoint or ``mmseg_dg://NAME``.

    Raises:
        FileNotFoundError, ValueError: As :func:`load`.
    """
    text, path = str(source), Path(source)
    if text.startswith(PREFIX):
        return _config_of_shipped(text), text
    if path.is_dir():
        config, checkpoint = run_files(path)
        return str(config), str(checkpoint)
    if path.suffix == '.py':
        raise ValueError(f'{path} is a config: give its CHECKPOINT as the second argument (in '
                         'Python: mmseg_dg.apis.load_model(CONFIG, CHECKPOINT))')
    if not path.is_file():
        raise FileNotFoundError(f'there is no file or folder {path}')
    if path.suffix == '.safetensors':
        raise ValueError(f'{path}: an exported file; give the folder or checkpoint of its training')
    if path.suffix in ('.onnx', '.pt2'):
        raise ValueError(
            f'{path}: a graph runs without this package: examples/onnx_inference.py for .onnx, '
            'torch.export.load(FILE).module(check_guards=False) for .pt2. To predict here, export '
            '--to safetensors')
    return str(_config_beside(path)), text


def run_files(folder: Path) -> tuple[Path, Path]:
    """Config and checkpoint of a folder that training wrote.

    Raises:
        FileNotFoundError: It has none, or several configs.
    """
    # training without a config writes FOLDER/config.py and works in FOLDER/run; else the folder is
    # a work dir itself
    work_dir = folder / RUN if (folder / CONFIG).is_file() else folder
    best, regular = best_of(work_dir), lying_in(work_dir)
    if not best and not regular:
        raise FileNotFoundError(f'{work_dir} holds no checkpoint: has a training finished there?')
    if len(best) > 1:
        raise FileNotFoundError(
            f'{work_dir} holds {len(best)} best checkpoints: name the one that you want, of '
            f'{", ".join(path.name for path in best)}')
    checkpoint = best[0] if best else regular[0].path  # ``lying_in`` has the newest first
    return _config_beside(checkpoint), checkpoint


def _config_beside(checkpoint: Path) -> Path:
    """The config of a checkpoint: of the same name, the one of its folder, or the one that
    training wrote above."""
    twin = checkpoint.with_suffix('.py')
    above = checkpoint.parent.parent / CONFIG  # out/config.py beside out/run/
    if twin.is_file():
        return twin
    if checkpoint.parent.name == RUN and above.is_file():
        return above
    found = sorted(checkpoint.parent.glob('*.py'))
    if len(found) != 1:
        raise FileNotFoundError(
            f'{checkpoint.parent} has {len(found)} config files, so that the network of '
            f'{checkpoint.name} is not known: use mmseg_dg.apis.load_model(CONFIG, CHECKPOINT)')
    return found[0]


def _load_safetensors(path: Path, device: Any) -> Segmenter:
    """A network from a file of ``tools/export.py``, whose header has the config."""
    from safetensors import SafetensorError, safe_open
    try:
        with safe_open(str(path), 'pt') as file:
            header = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f'{path}: damaged, or no file of safetensors ({error})') from error
    if 'mmseg_dg' not in header:
        raise ValueError(
            f'{path} says nothing of its network: only files of tools/export.py do; give a config '
            'to mmseg_dg.apis.load_model(CONFIG, FILE)')
    known = json.loads(header['mmseg_dg'])  # of apis/export/metadata.py
    settings = known['config']
    # taken out of the config, which would import whatever the file says
    imports = (settings.pop('custom_imports', None) or {}).get('imports', [])
    if 'mmpretrain.models' in imports:  # nothing else that a file names is imported
        import mmpretrain.models  # noqa: F401
    settings['test_pipeline'] = with_tuples(settings['test_pipeline'])  # JSON has made them lists
    # predicting looks for the pipeline in a test loader
    cfg = Config(
        dict(
            settings, test_dataloader=dict(
                dataset=dict(type='BaseSegDataset', pipeline=settings['test_pipeline']))))
    model: BaseSegmentor = load_model(cfg, str(path), device)
    model.dataset_meta = dict(classes=tuple(known['classes']),
                              palette=known['palette']) if known['classes'] else None
    return Segmenter(model, path)


def _config_of_shipped(address: str) -> str:
    """Path of the config that shipped weights were trained with, in the installed package or in a
    clone.

    Args:
        address: ``mmseg_dg://NAME``.
    """
    name = card(address)['config']
    package = Path(__file__).resolve().parents[1]
    places = [package / '.mim' / name, package.parent / name]
    # places[0] if it is in neither: reading it then fails with that path in the message
    return str(next((place for place in places if place.is_file()), places[0]))
