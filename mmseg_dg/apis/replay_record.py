"""A record of a training step of the official DAFormer/HRDA code in our terms: files, config,
batch, draws, log names.

Shapes: H x W pixels.
"""
import os.path as osp
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_dg.methods.dacs import DACS, StepDraws
from mmseg_dg.models.segmentors.network import draw_crop_box
from mmseg_dg.ops import JitterParams
from mmseg_dg.utils.checkpoint_reader import read_weights


def load_record(path: str) -> tuple[dict, dict, dict]:
    """A record and its start weights.

    Args:
        path: ``trainstep_<kind>_<variant>.pt``; ``trainstep_<kind>_init_student.pt`` and
            ``..._init_imnet.pt`` lie beside it.

    Returns:
        (record, student start, ImageNet start), of tensors and plain values.

    Raises:
        FileNotFoundError: One of the three is missing.
    """
    folder, name = osp.split(path)
    stem = '_'.join(name.split('_')[:2])  # trainstep_<kind>
    paths = [path, *(osp.join(folder, f'{stem}_init_{part}.pt') for part in ('student', 'imnet'))]
    for item in paths:
        if not osp.isfile(item):
            raise FileNotFoundError(
                f'{item} is missing: a record needs its start weights beside it')
    record, student, imnet = (read_weights(item) for item in paths)
    return record, student, imnet


def fit_to_record(model: dict, record: dict, start: dict[str, Tensor]) -> None:
    """Set in a DACS config what the record itself says: crop, margins, width of HRDA's attention;
    logs each change.

    Args:
        model: Config of the method; changed in place.
        record: First element of :func:`load_record`.
        start: Start weights of the student under official names, whose shapes give the widths.
    """
    settings = record['cfg']['uda']
    # name in a DACS config -> recorded value
    values = {'use_valid_mask': record['steps'][0]['batch'].get('valid_pseudo_mask') is not None}
    for ours, theirs in (('pseudo_threshold', 'pseudo_threshold'), ('ignore_top',
                                                                    'pseudo_weight_ignore_top'),
                         ('ignore_bottom', 'pseudo_weight_ignore_bottom')):
        if theirs in settings:
            values[ours] = settings[theirs]
    _change(model, values)
    network = model['network']
    crop = record['cfg'].get('hr_crop_size')
    if crop is not None:
        _change(network,
                dict(hr_crop_size=tuple(crop) if isinstance(crop, Sequence) else (crop, crop)))
    _fit_widths(network['decode_head'], start)
    # (outputs, channels, 1, 1) of HRDA's attention: one output for all classes, or one per class
    classifier = start.get('decode_head.scale_attention.conv_seg.weight')
    if classifier is not None:
        _change(
            network['decode_head'],
            dict(attention_classwise=len(classifier) > 1, attention_channels=classifier.shape[1]))


def _fit_widths(head: dict, start: dict[str, Tensor]) -> None:
    """Set the decoder's widths in its config (of HRDA in that of its inner head) from the shapes of
    the recorded start weights.
    """
    prefix = 'decode_head.head.' if 'decode_head.head.conv_seg.weight' in start else 'decode_head.'
    # a decoder without this layer keeps the widths of the config
    if f'{prefix}embed_layers.0.proj.weight' in start:
        _change(
            head['head'] if prefix.endswith('.head.') else head,
            dict(channels=start[f'{prefix}conv_seg.weight'].shape[1],
                 embed_channels=start[f'{prefix}embed_layers.0.proj.weight'].shape[0]))


def _change(config: dict, values: dict) -> None:
    """Set recorded values in a config (in place) and log those that differ."""
    for key, value in values.items():
        if key in config and config[key] != value:
            print_log(f'replay: {key}={config[key]} of the config becomes {value}, as '
                      'recorded', logger='current')
        config[key] = value


def official_log_name(name: str) -> str:
    """``source.decode.loss_ce`` -> ``decode.loss_seg``, ``mix.decode.loss_ce`` ->
    ``mix.decode.loss_seg``, etc.
    """
    if name == 'source.loss_feature_distance':
        return 'src.loss_imnet_feat_dist'
    return name.replace('source.', '', 1).replace('loss_ce', 'loss_seg')


def to_batch(recorded: dict[str, Tensor], method: DACS,
             dtype: torch.dtype = torch.float32) -> dict[str, dict]:
    """The recorded (normalized) images and labels as a batch of the streams of ``method``, as its
    data preprocessor would give it.
    """
    labels = recorded['gt_semantic_seg'].long()
    valid_masks = recorded.get('valid_pseudo_mask')  # of the target images; None: not recorded
    source, target = [], []  # samples
    for i, label in enumerate(labels):
        # (H, W) or (1, H, W) -> (1, H, W)
        source.append(SegDataSample(gt_sem_seg=PixelData(data=label.reshape(1, *label.shape[-2:]))))
        target.append(SegDataSample())
        if valid_masks is not None:
            # (1, H, W)
            mask = torch.as_tensor(valid_masks[i]).reshape(1, *label.shape[-2:]).to(torch.uint8)
            target[-1].valid_pseudo_mask = PixelData(data=mask)
    return {
        method.source_stream: dict(inputs=recorded['img'].to(dtype), data_samples=source),
        method.target_stream: dict(inputs=recorded['target_img'].to(dtype), data_samples=target)
    }


def to_draws(recorded: dict, batch: dict[str, dict], method: DACS) -> StepDraws:
    """The recorded draws of a step as :class:`StepDraws`.

    ``recorded['draws']`` is the list of all random calls of the official step, in their order, each
    with ``kind`` (the function) and ``value``.
    """
    draws = recorded['draws']
    uniforms = [d['value'] for d in draws if d['kind'] == 'random.uniform']
    scalars = recorded.get('strong_scalars', {})
    labels = recorded['batch']['gt_semantic_seg']
    # what np.random.choice has drawn are positions in this list of the batch's classes
    classes = torch.unique(labels).long()
    # the official code jitters if the first uniform draw is above this, and blurs if the second is
    # above 0.5
    jitter_off = scalars.get('color_jitter_p', 0.2)
    offsets = _RecordedRandint([int(d['value']) for d in draws if d['kind'] == 'np.random.randint'])
    size = tuple(batch[method.source_stream]['inputs'].shape[-2:])
    result = StepDraws(
        jitter=bool(uniforms[0] > jitter_off),
        blur=bool(uniforms[1] > 0.5),
        mix_classes=[classes[d['value'].long()] for d in draws if d['kind'] == 'np.random.choice'],
        jitter_params=[_jitter(d) for d in draws if d['kind'] == 'kornia.ColorJitter'],
        sigma=[float(d['value']) for d in draws if d['kind'] == 'np.random.uniform'],
        # the detail crops take the recorded offsets one after the other: the source's come first
        crop_box_source=draw_crop_box(method.student, size, offsets),
        crop_box_mix=draw_crop_box(method.student, size, offsets))
    offsets.check_used()
    return result


class _RecordedRandint:
    """Gives recorded ``np.random.randint`` values in order, in place of a generator; ``values`` are
    those that are left.
    """
    def __init__(self, values: list[int]) -> None:
        self.values = values

    def randint(self, low: int, high: int) -> int:
        """The next recorded value; ValueError if there is none, or it is not in [low, high)."""
        if not self.values or not low <= self.values[0] < high:
            raise ValueError(f'the detail crop draws an integer in [{low}, {high}), the record '
                             f'goes on with {self.values}: hr_crop_size of the config is not that '
                             'of the record')
        return self.values.pop(0)

    def check_used(self) -> None:
        """Refuse (ValueError) values that nobody has asked for."""
        if self.values:
            raise ValueError(f'recorded crop offsets {self.values} are left over: the network '
                             'draws fewer')


def _jitter(draw: dict) -> JitterParams:
    """A recorded draw of the color jitter; ``order`` is that of its four changes."""
    first, second, third, fourth = (int(x) for x in draw['order'])
    return JitterParams(brightness=float(draw['brightness_factor']),
                        contrast=float(draw['contrast_factor']), hue=float(draw['hue_factor']),
                        saturation=float(draw['saturation_factor']),
                        order=(first, second, third, fourth))
