"""Predictions as the test servers of Cityscapes, ACDC and Dark Zurich take them: ids, names, sizes,
one zip file.

Ids and names as in the evaluation code of HRDA (docs/behavior/daformer_hrda.md#evaluation): label
ids for Cityscapes, train ids for ACDC and Dark Zurich, each file named after its image.
"""
import io
import os
import os.path as osp
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from mmengine.config import ConfigDict
from PIL import Image

from mmseg_dg.datasets.conversion import write_bytes
from mmseg_dg.datasets.label_tables import CITYSCAPES_TO_TRAIN_ID
from mmseg_dg.utils.loaders import loaders_by_name

_NAMED = 5  # files that a message names


@dataclass(frozen=True)
class TestServer:
    """What a server expects.

    Attributes:
        name: Domain name, and name on the command line.
        dataset: Dataset type of its images.
        images: Folder of the test images below the data root.
        count: Images.
        size: Height and width of a prediction.
        ids: Id written for each of the 19 train ids.
        file_name: Pattern of a file's name.
    """
    __test__ = False  # no test class, whatever pytest thinks
    name: str
    dataset: str
    images: str
    count: int
    size: tuple[int, int]
    ids: tuple[int, ...]
    file_name: str


# the label id of each train id, in the order of the train ids
LABEL_IDS = tuple(sorted(CITYSCAPES_TO_TRAIN_ID, key=CITYSCAPES_TO_TRAIN_ID.__getitem__))
TRAIN_IDS = tuple(range(19))
SERVERS = {
    server.name: server
    for server in (
        TestServer('cityscapes', 'CityscapesDataset', 'leftImg8bit/test', 1525, (
            1024, 2048), LABEL_IDS, r'[a-z]+_\d{6}_\d{6}_leftImg8bit\.png'),
        TestServer('acdc', 'ACDCDataset', 'rgb_anon/test', 2000, (
            1080, 1920), TRAIN_IDS, r'.+_frame_\d+_rgb_anon\.png'),
        TestServer('dark_zurich', 'DarkZurichDataset', 'rgb_anon/test', 151, (
            1080, 1920), TRAIN_IDS, r'.+_frame_\d+_rgb_anon\.png'),
    )
}


def _without_labels(pipeline: Sequence) -> list:
    """A pipeline without ``LoadAnnotations``, also inside ``TestTimeAug``, whose ``transforms`` are
    lists of alternatives.
    """
    kept = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):  # alternatives of TestTimeAug
            step = _without_labels(step)
            if not step:  # only loaded labels: an empty list would leave nothing to choose
                continue
        elif 'LoadAnnotations' in str(step['type']):
            continue
        elif 'transforms' in step:
            step = dict(step, transforms=_without_labels(step['transforms']))
        kept.append(step)
    return kept


def prepare(cfg: Any, server: TestServer, folder: str, data_root: Optional[str] = None,
            domain: Optional[str] = None) -> None:
    """Let a config predict the server's test images and save train ids below ``folder``; no label
    is read.

    Loader and pipeline (scale) are those of one of the config's test domains.

    Args:
        cfg: Config; changed in place.
        server: One of :data:`SERVERS`.
        folder: Where predictions go.
        data_root: Of the test images; None: the domain's own.
        domain: Test domain to take the pipeline from; None: the one with the server's dataset, or
            the only one.

    Raises:
        ValueError: No such domain, several or none that fit, or no data root.
    """
    loaders = loaders_by_name(cfg.get('test_dataloader'), 'test')
    domain = _template_domain(loaders, server, domain)
    template = loaders[domain]
    if 'pipeline' not in template['dataset']:
        raise ValueError(f'{server.name}: test domain {domain!r} is no plain dataset with a '
                         'pipeline; choose another one (--domain)')
    is_servers = template['dataset'].get('type') == server.dataset
    own = template['dataset'].get('data_root') if is_servers else None
    if not (data_root or own):
        raise ValueError(f'{server.name}: give the folder of its data (--data-root)')
    dataset = ConfigDict(type=server.dataset, data_root=data_root or own,
                         data_prefix=dict(img_path=server.images),
                         pipeline=_without_labels(template['dataset']['pipeline']))
    if template['dataset'].get('backend_args'):
        dataset.backend_args = template['dataset']['backend_args']
    # assigned as a whole: merging would keep the other test domains of the config
    cfg.test_dataloader = ConfigDict({server.name: ConfigDict(template, dataset=dataset)})
    # it saves predictions and scores nothing; name_depth=1: bare file names, as servers want
    cfg.test_evaluator = ConfigDict(type='ConfusionMatrixMetric', output_dir=folder,
                                    format_only=True, name_depth=1)
    if cfg.get('tta_pipeline'):
        cfg.tta_pipeline = _without_labels(cfg.tta_pipeline)


def _template_domain(loaders: Mapping[str, Mapping], server: TestServer,
                     wanted: Optional[str]) -> str:
    """Name of the test domain whose loader and pipeline are taken: ``wanted``, else the one with
    the server's dataset, else the only one.

    Raises:
        ValueError: There is no such domain, or it is not clear which.
    """
    if wanted is None:
        fitting = [
            name for name, loader in loaders.items()
            if loader['dataset'].get('type') == server.dataset
        ]
        fitting = fitting or list(loaders)
        if len(fitting) != 1:
            raise ValueError(f'{server.name}: name the test domain whose pipeline is to be used '
                             f'(--domain): the config has {sorted(loaders)}')
        return fitting[0]
    if wanted not in loaders:
        raise ValueError(f'{server.name}: the config has no test domain {wanted!r}, only '
                         f'{sorted(loaders)}')
    return wanted


def find_predictions(folder: str) -> dict[str, str]:
    """{file name: path} of the PNG files below a folder.

    Raises:
        FileNotFoundError: No such folder, or no PNG in it.
        ValueError: Two files have one name.
    """
    if not osp.isdir(folder):
        raise FileNotFoundError(f'there is no folder of predictions {folder!r}')
    found: dict[str, str] = {}
    # sorted, so that a message about a repeated name has the same two files in every call
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith('.png'):
                path = osp.join(place, name)
                if found.setdefault(name, path) != path:
                    raise ValueError(f'{found[name]} and {path} have one name; give the folder of '
                                     'one domain')
    if not found:
        raise FileNotFoundError(f'{folder!r} has no *.png; save predictions with tools/test.py '
                                '--out first')
    return found


def pack(folder: str, server: TestServer, path: str, allow_incomplete: bool = False) -> int:
    """Check predicted train ids and write the zip file the server takes, in one step.

    Args:
        folder: Predictions, one PNG of train ids per test image, as ``tools/test.py --out`` saves
            them.
        server: One of :data:`SERVERS`.
        path: Zip file to write.
        allow_incomplete: Accept another number of files than the server wants.

    Returns:
        Number of files in it.

    Raises:
        FileNotFoundError: No predictions.
        ValueError: A name, size, id or the number of files is not what the server takes; nothing is
            written.
    """
    found = find_predictions(folder)
    if len(found) != server.count and not allow_incomplete:
        raise ValueError(f'{server.name}: {folder} has {len(found)} predictions, the test set has '
                         f'{server.count} images')
    strange = [name for name in found if not re.fullmatch(server.file_name, name)]
    if strange:
        raise ValueError(f'{server.name}: {len(strange)} files are not named after test images, '
                         f'for example {strange[:_NAMED]}; expected names like {server.file_name}')
    table = np.asarray(server.ids, np.uint8)  # train id -> id that the server reads
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        for name, source in sorted(found.items()):
            label = np.asarray(Image.open(source))
            if label.shape != server.size:
                raise ValueError(f'{source}: has shape {label.shape}, {server.name} wants '
                                 f'{server.size} (height, width)')
            if label.max() >= len(table):
                raise ValueError(f'{source}: has id {label.max()}; expected train ids '
                                 f'0..{len(table) - 1}')
            png = io.BytesIO()
            Image.fromarray(table[label]).save(png, format='png')
            # without a date: equal input, equal file
            archive.writestr(zipfile.ZipInfo(name), png.getvalue())
    write_bytes(path, content.getvalue())
    return len(found)
