"""Compare a replayed training step with its record: every quantity the record holds, each against a
tolerance.

Shapes: B images, H x W pixels.
"""
import fnmatch
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from torch import Tensor

if TYPE_CHECKING:
    from .replay import ReplayedStep

#: Kind of quantity -> largest relative deviation that counts as equal, in the first step and in
#: later ones. The input of a ReLU near zero may turn with rounding (full-size step: gradient norms
#: to 1e-3, single gradients to 3e-3), and from the second step on Adam has divided by tiny
#: gradients, so that rounding moves weights.
TOLERANCES = {
    'losses': (1e-5, 1e-3),
    'accuracies': (1e-4, 1e-2),
    'gradient norms': (2e-3, 1e-2),
    'gradients': (5e-3, 5e-2),
    'gradient sums': (2e-3, 2e-2),
    'parameter norms': (1e-4, 1e-3),
    'movement': (2e-3, 2e-2),
    'buffers': (1e-5, 1e-2),
    'logits': (1e-5, 1e-2),
    'features': (1e-5, 1e-2),
    'images': (1e-5, 1e-5),
    'weights': (1e-6, 1e-3),
    'labels': (0.0, 1e-3),
    'masks': (0.0, 0.0),
    'modes': (0.0, 0.0),
    'float64 losses': (1e-6, 1e-6),
    'float64 gradient norms': (1e-5, 1e-5),
}
#: Keys of a recorded step that are there to be replayed, not to be compared.
INPUTS = ('iter', 'seed', 'batch', 'draws', 'strong_scalars')
#: The key half of this bias has no gradient, so that its movement is +-lr of rounding noise.
KEY_BIAS = '*.attn.kv.bias'


class Deviation(NamedTuple):
    """Largest relative deviation of one quantity and where it is.

    Attributes:
        quantity: Name of the quantity.
        relative: Largest deviation over the largest recorded value; of labels, masks and modes the
            share that differs. ``inf`` for what is missing or not a number.
        where: Parameter, value or empty.
        kind: Key of :data:`TOLERANCES`.
        tolerance: What is allowed; None before :func:`judge`.
    """
    quantity: str
    relative: float
    where: str
    kind: str
    tolerance: Optional[float] = None

    @property
    def equal(self) -> bool:
        """Whether the deviation is within the tolerance."""
        if self.tolerance is None:
            raise ValueError(f'{self.quantity}: no tolerance yet, give the deviations to judge() '
                             'first')
        return self.relative <= self.tolerance


def judge(
    deviations: Iterable[Deviation], step: int, tolerances: Optional[dict[str, float]] = None,
    skip: Sequence[str] = ()) -> list[Deviation]:
    """The same deviations, each with the tolerance that holds for it.

    Args:
        deviations: Of :func:`compare_step`.
        step: 0-based number of the step: later ones have looser defaults.
        tolerances: Kind or quantity -> tolerance, in place of the defaults; a quantity's own goes
            first.
        skip: Patterns of quantities to leave out.

    Raises:
        ValueError: A tolerance for a kind or quantity there is not.
    """
    deviations, tolerances = list(deviations), tolerances or {}
    unknown = set(tolerances) - set(TOLERANCES) - {d.quantity for d in deviations}
    if unknown:
        raise ValueError(f'no such quantity: {sorted(unknown)}; tolerances are of '
                         f'{sorted(TOLERANCES)} or of one of '
                         f'{sorted({d.quantity for d in deviations})}')
    result = []
    for d in deviations:
        default = TOLERANCES[d.kind][min(step, 1)]  # (first step, later steps)
        allowed = tolerances.get(d.quantity, tolerances.get(d.kind, default))
        if not _matches(d.quantity, skip):
            result.append(d._replace(tolerance=allowed))
    return result


def compare_step(ours: 'ReplayedStep', recorded: dict, skip: Sequence[str] = ()) -> list[Deviation]:
    """Compare a replayed step with its record: losses and accuracies, gradients, parameters,
    buffers, labels, images.

    Args:
        ours: Result of :meth:`Replay.step`.
        recorded: ``record['steps'][i]``.
        skip: Official names of parameters (or patterns such as ``*.bias``) that are left out of
            every quantity, above all those whose true gradient is zero (gradient and update are
            rounding noise).

    Returns:
        Largest relative deviation per quantity that the record holds. :func:`not_compared` names
        the rest.
    """
    losses = {k: v for k, v in recorded['log_vars'].items() if 'loss' in k}
    # only those that a replay has: see ReplayedStep
    accuracies = {
        k: v
        for k, v in recorded['log_vars'].items() if 'acc' in k and k in ours.official_accuracies
    }
    result = [_largest('logged losses', ours.log_vars, losses, 'losses')]
    if accuracies:
        # percents: the deviation is relative to 100, not to an accuracy that may be near 0
        result.append(
            _largest('logged accuracies', ours.official_accuracies, accuracies, 'accuracies',
                     scale=100.))
    result += _gradients(ours, recorded, skip) + _parameters(ours, recorded, skip)
    for name, mine in (('student_buffers', ours.student_buffers), ('ema_buffers',
                                                                   ours.teacher_buffers)):
        if name in recorded:
            result.append(_largest_tensor(name, mine, recorded[name], 'buffers'))
    return result + _maps(ours, recorded) + _modes(ours, recorded)


def not_compared(ours: 'ReplayedStep', recorded: dict) -> list[str]:
    """Keys of a recorded step that :func:`compare_step` leaves alone, inputs excepted."""
    known = {
        'log_vars', 'grad_norms_after', 'grad_samples_after', 'grad_sum_after_mix',
        'student_buffers', 'ema_buffers', 'teacher_flags', 'imnet_training', *INPUTS, *_MOVED
    }
    known |= {name for name, key, _ in _MAPS if key in ours.state}
    others = [k for k in recorded if k not in known]
    logged = [
        k for k in recorded['log_vars'] if 'loss' not in k and k not in ours.official_accuracies
    ]
    return others + [f'log_vars[{k!r}]' for k in logged]


def compare_float64(ours: 'ReplayedStep', check: dict, index: int,
                    skip: Sequence[str] = ()) -> list[Deviation]:
    """Compare a replay in double precision with the official step in double precision.

    Args:
        ours: A step replayed with ``dtype=torch.float64``.
        check: Entry of the record's kind in ``*_fp64_check.json``: ``log`` has per step pairs of a
            value (float32, float64), ``grad_norms_fp64_iter<N>`` the norms by official name.
        index: Number of the step.
        skip: As in :func:`compare_step`.
    """
    result = []
    logged = check.get('log', {}).get(str(index), {})
    losses = {k: float(v[1]) for k, v in logged.items() if 'loss' in k}  # [1]: of float64
    if losses:
        result.append(_largest('float64 losses', ours.log_vars, losses, 'float64 losses'))
    norms = check.get(f'grad_norms_fp64_iter{index}')
    if norms:
        result.append(
            _largest('float64 gradient norms after the last backward', ours.grad_norms_after[-1],
                     norms, 'float64 gradient norms', skip))
    return result


# ---------------------------------------------------------------------- quantities
#: Recorded norms -> (name of the quantity, attribute of the replayed step, kind).
_MOVED = {
    'student_param_norms': ('student parameter norms', 'student', 'parameter norms'),
    'ema_param_norms': ('ema parameter norms', 'teacher', 'parameter norms'),
    'student_param_delta_norms': ('student movement', 'student_moved', 'movement'),
    'ema_delta_norms': ('ema movement', 'teacher_moved', 'movement'),
}
#: (name in a record, name in the step's state, kind) of whole maps.
_MAPS = (
    ('pseudo_label', 'pseudo_label', 'labels'),
    ('pseudo_weight', 'pseudo_weight', 'weights'),
    ('mix_masks', 'mix_mask', 'masks'),
    ('mixed_img', 'mixed_image', 'images'),
    ('mixed_lbl', 'mixed_label', 'labels'),
    ('mixed_weight', 'mixed_weight', 'weights'),
    ('ema_head_logits', 'teacher_logits', 'logits'),
    ('fd_mask', 'distance_mask', 'masks'),
    ('fd_gt_rescaled', 'distance_labels', 'masks'),
    ('src_feat_last', 'source_feature', 'features'),
)


def _gradients(ours: 'ReplayedStep', recorded: dict, skip: Sequence[str]) -> list[Deviation]:
    """Deviations of gradients after each backward pass: their norms, samples and sums."""
    result = []
    for i, norms in enumerate(recorded['grad_norms_after']):
        mine = ours.grad_norms_after[i] if i < len(ours.grad_norms_after) else {}
        result.append(
            _largest(f'gradient norms after backward {i}', mine, norms, 'gradient '
                     'norms', skip))
    for i, samples in enumerate(recorded.get('grad_samples_after', ())):
        own = ours.gradients_after[i] if i < len(ours.gradients_after) else {}
        result.append(
            _largest_tensor(f'gradients after backward {i}', own, samples, 'gradients', skip))
    if 'grad_sum_after_mix' in recorded:
        # positive and negative gradients cancel in a sum, which may be near 0: its deviation is
        # relative to the largest sum that n numbers of norm g can have, g * sqrt(n)
        scale = {
            k: float(v.double().norm()) * math.sqrt(v.numel())
            for k, v in ours.gradients_after[-1].items()
        }
        sums = {k: v.double().sum().item() for k, v in ours.gradients_after[-1].items()}
        result.append(
            _largest('gradient sums after the last backward', sums, recorded['grad_sum_after_mix'],
                     'gradient sums', skip, scale))
    return result


def _parameters(ours: 'ReplayedStep', recorded: dict, skip: Sequence[str]) -> list[Deviation]:
    """Largest deviations of norms: of the parameters of student and teacher, and of how far they
    moved, as far as the record has them.
    """
    result = []
    for name, (quantity, attribute, kind) in _MOVED.items():
        if name in recorded:
            norms = {k: v.double().norm().item() for k, v in getattr(ours, attribute).items()}
            result.append(_largest(quantity, norms, recorded[name], kind, (*skip, KEY_BIAS)))
    return result


def _maps(ours: 'ReplayedStep', recorded: dict) -> list[Deviation]:
    """Deviations of the maps a step made: pseudo-labels, weights, mixed images."""
    result = []
    for name, key, kind in _MAPS:
        if recorded.get(name) is None or key not in ours.state:
            continue
        mine, theirs = ours.state[key].double(), recorded[name].double()
        if mine.numel() != theirs.numel():
            result.append(
                Deviation(name, math.inf, f'{tuple(mine.shape)} instead of '
                          f'{tuple(theirs.shape)}', kind))
        elif kind in ('labels', 'masks'):
            # records keep an axis of 1 that we drop, or the other way round: (B, 1, H, W) and (B,
            # H, W)
            result.append(
                Deviation(name, (mine != theirs.reshape(mine.shape)).double().mean().item(), '',
                          kind))
        else:
            # as above, (B, 1, H, W) and (B, H, W)
            result.append(_largest_tensor(name, {'': mine}, {'': theirs.reshape(mine.shape)}, kind))
    return result


def _modes(ours: 'ReplayedStep', recorded: dict) -> list[Deviation]:
    """Deviation of training and evaluation modes, of the teacher and of the frozen ImageNet
    encoder (``imnet``), as the share of modes that differ; a list of one, or empty where none was
    recorded. Whether the official teacher ran under ``no_grad`` does not count.
    """
    wanted = {
        f'teacher.{k}': v
        for k, v in recorded.get('teacher_flags', {}).items() if k != 'grad_enabled'
    }
    if recorded.get('imnet_training') is not None and 'imnet.training' in ours.modes:
        wanted['imnet.training'] = recorded['imnet_training']
    if not wanted:
        return []
    wrong = [k for k, v in wanted.items() if ours.modes.get(k) != v]
    share = len(wrong) / len(wanted)
    return [Deviation('modes of teacher and reference', share, ', '.join(wrong), 'modes')]


# ---------------------------------------------------------------------- largest deviation
def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name fits any of the patterns (``*.bias``), capital letters told apart."""
    return any(fnmatch.fnmatchcase(name, p) for p in patterns)


def _largest(quantity: str, ours: dict[str, float], theirs: dict[str, float], kind: str,
             skip: Sequence[str] = (), scale: Any = None) -> Deviation:
    """Largest deviation of numbers (by name), relative to the recorded one or to ``scale``.

    Args:
        quantity: What is compared, for the result.
        ours: By name.
        theirs: Recorded, by name.
        kind: Key of ``TOLERANCES``.
        skip: Patterns of names to leave out.
        scale: A number, or one per name; None: the recorded number itself.

    Returns:
        Infinite where a name is missing or nothing is recorded.
    """
    if not theirs:
        return Deviation(quantity, math.inf, 'nothing is recorded', kind)
    worst = Deviation(quantity, 0.0, '', kind)
    for name, value in theirs.items():
        if _matches(name, skip):
            continue
        if name not in ours:
            return Deviation(quantity, math.inf, f'{name} is missing', kind)
        # nan: the official code's mean over no cell of the feature distance; ours is 0 there
        if math.isnan(value):
            relative = 0.0 if ours[name] == 0 else math.inf
        else:
            # what the difference is divided by; 1e-12 below: a recorded 0 would divide by zero
            size = scale[name] if isinstance(scale, dict) else scale
            if size is None:
                size = abs(value)
            relative = abs(ours[name] - value) / max(size, 1e-12)
        if not relative <= worst.relative:  # also catches a NaN of ours
            worst = worst._replace(relative=math.inf if math.isnan(relative) else relative,
                                   where=name)
    return worst


def _largest_tensor(quantity: str, ours: dict[str, Tensor], theirs: dict[str, Tensor], kind: str,
                    skip: Sequence[str] = ()) -> Deviation:
    """Largest element-wise deviation of tensors (by name), relative to the largest recorded element
    of the same tensor; infinite where a name is missing or a shape differs.
    """
    if not theirs:
        return Deviation(quantity, math.inf, 'nothing is recorded', kind)
    worst = Deviation(quantity, 0.0, '', kind)
    for name, value in theirs.items():
        if _matches(name, skip):
            continue
        if name not in ours:
            return Deviation(quantity, math.inf, f'{name} is missing', kind)
        if ours[name].shape != value.shape:
            return Deviation(quantity, math.inf, f'{name}: {tuple(ours[name].shape)}, not '
                             f'{tuple(value.shape)}', kind)
        difference = (ours[name].double() - value.double()).abs().max()
        # 1e-12: a tensor of zeros would divide by zero
        relative = (difference / value.double().abs().max().clamp(min=1e-12)).item()
        if not relative <= worst.relative:
            worst = worst._replace(relative=math.inf if math.isnan(relative) else relative,
                                   where=name)
    return worst
