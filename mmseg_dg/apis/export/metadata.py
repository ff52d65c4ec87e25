"""What an exported file says about itself: one JSON text, the same in every format."""
import csv
import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.config import Config
from torch import nn

from mmseg_dg.registry import MODELS
from mmseg_dg.version import __version__
from mmseg_dg.weights.segmentor_export import inference_config
from mmseg_dg.weights.shipped import PREFIX, card, shipped_file

from .licenses import encoder_license

#: Under which the text lies in each format.
KEY = 'mmseg_dg'
FORMAT = 1  # version of the text's layout
#: Arguments of a segmentor that matter in training only.
_TRAINING_ONLY = ('auxiliary_head', 'train_cfg', 'init_cfg', 'pretrained')


def describe(cfg: Config, checkpoint: Union[str, Path], network: str, module: nn.Module,
             meta: Mapping, classes: Optional[Mapping], pipeline: list,
             score: Optional[Mapping] = None) -> dict[str, Any]:
    """The metadata of one exported network.

    Args:
        cfg: Config of the run.
        checkpoint: The file that was read.
        network: Its name in the method.
        module: The network.
        meta: ``meta`` of the checkpoint.
        classes: ``dict(classes=..., palette=...)``, or None where nothing knows them.
        pipeline: Configs of the steps from a file to what the preprocessor reads.
        score: What was measured, by name; None looks into the logs beside the checkpoint.

    Returns:
        Plain values, see docs/export.md#what-a-file-says.
    """
    preprocessor = dict(cfg.model.get('data_preprocessor') or {})
    # mean and std are of values 0..255 (``scale``), in the order of the channels
    preprocessing = dict(mean=preprocessor.get('mean'), std=preprocessor.get('std'), scale=255,
                         channel_order='RGB' if preprocessor.get('bgr_to_rgb') else 'BGR',
                         steps=pipeline)
    # a method has its network's config in ``network``; a plain segmentor is the network
    test = cfg.model.get('network', cfg.model).get('test_cfg') or dict(mode='whole')
    # the address of shipped weights; of a file the name alone, no path of this machine
    file = str(checkpoint) if str(checkpoint).startswith(PREFIX) else Path(checkpoint).name
    origin = dict(file=file, sha256=sha256(_local(checkpoint)), iteration=meta.get('iter'))
    names, palette = ((classes or {}).get(key) for key in ('classes', 'palette'))
    written_by = dict(package=f'mmseg_dg {__version__}', commit=commit())
    score = score or recorded_score(checkpoint, meta)
    return plain(
        dict(format=FORMAT, name=Path(cfg.filename or 'network').stem, network=network,
             segmentor=type(module).__name__, classes=list(names or ()),
             palette=list(palette or ()), preprocessing=preprocessing, test=dict(test),
             config=inference_settings(cfg, pipeline), score=dict(score), checkpoint=origin,
             written_by=written_by, encoder=encoder_license(cfg)))


def inference_settings(cfg: Config, pipeline: list) -> dict[str, Any]:
    """The config of the network alone, with its preprocessing and, as ``test_pipeline``, the steps
    that load an image.

    Args:
        cfg: Config of the run.
        pipeline: Those steps.
    """
    # the second value, names of types that stock MMSegmentation lacks, is not needed
    stripped, _ = inference_config(cfg)
    model = dict(stripped.model)
    for key in _TRAINING_ONLY:
        model.pop(key, None)
    if MODELS.get(model['type']).__module__.startswith('mmseg.'):
        model['train_cfg'] = {}  # as mmseg's own configs have it
    return dict(dict(stripped), model=model, test_pipeline=pipeline)


def recorded_score(checkpoint: Union[str, Path], meta: Mapping) -> dict[str, Any]:
    """mIoU in percent that the run measured at a checkpoint's iteration, from its
    ``evaluation_iter_N.csv``: ``{'camera/mIoU': 32.4, 'mean/mIoU': 32.4}``; {} where nothing is
    known."""
    if str(checkpoint).startswith(PREFIX):
        known = card(str(checkpoint))
        return {
            f'{name}/mIoU': value
            for name, value in known.get('score_mIoU_percent', {}).items()
        }
    tables = sorted(Path(checkpoint).parent.glob(f'*/evaluation_iter_{meta.get("iter")}.csv'))
    if not tables:
        return {}
    newest = tables[-1]  # by the folder, a date and time: a resumed run judges again
    with open(newest, encoding='utf-8', newline='') as file:
        return {
            f'{row["domain"]}/mIoU': float(row['mIoU'])
            for row in csv.DictReader(file) if row.get('mIoU')
        }


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def commit() -> str:
    """Commit of the package's repository, '' for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / '.git').exists():
        return ''
    done = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=root, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ''


def plain(node: Any) -> Any:
    """A nested value as dicts, lists, numbers and text alone, as JSON has them.

    Raises:
        ValueError: Something else is in it; the message has it.
    """
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(value) for value in node]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise ValueError(
        f'an exported file keeps its config as text, but it has {node!r} ({type(node).__name__})')


def with_tuples(node: Any) -> Any:
    """The same settings with a tuple for every list of numbers: JSON knows no tuples, and mmcv's
    ``Resize`` takes no list for a size.
    """
    if isinstance(node, Mapping):
        return {key: with_tuples(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        numbers = bool(node) and all(isinstance(value, (int, float)) for value in node)
        return (tuple if numbers else list)(with_tuples(value) for value in node)
    return node


def _local(checkpoint: Union[str, Path]) -> Path:
    """The file of a checkpoint, also of one that is named by ``mmseg_dg://NAME``."""
    return shipped_file(str(checkpoint)) if str(checkpoint).startswith(PREFIX) else Path(checkpoint)
