"""Which checkpoints a method takes, what it does with one of a plain segmentor, and how to leave a
classifier out.

Shapes: C classes.
"""
from collections.abc import Iterator
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmseg_dg.models.norm_per_scale import match_statistics
from mmseg_dg.weights.comparison import difference

from .loss_checks import heads_of
from .trained_part import restore_frozen

#: A state dict.
State = dict[str, Tensor]
#: Last parts of the names of buffers that belong to a run, not to a network (updates of an average,
#: DeFT's stage, whether the last step was skipped): a run with new classes begins without them.
COUNTERS = ('steps', 'stage', 'step_skipped')
#: Ends of the names of entries that a file may lack or have in surplus.
OPTIONAL = ('num_batches_tracked', 'style_hallucination.proto_mean',
            'style_hallucination.proto_std')


def accept_checkpoint(method: BaseModel, state_dict: State, prefix: str, *args: Any) -> None:
    """Pre-hook of ``load_state_dict``: take the method's own checkpoints and plain segmentors,
    refuse the rest.

    mmengine's runner loads without being strict: a foreign file would be "loaded", with a list of
    keys in the log, and random weights would be trained on or judged. A plain segmentor (a
    checkpoint of mmseg, without ``student.``) fills the student and its averages.

    Args:
        method: The method that loads.
        state_dict: Changed in place where it is a plain segmentor's.
        prefix: Not empty where the method is part of something else; then nothing is checked.
        *args: The other arguments of such hooks.

    Raises:
        ValueError: The checkpoint holds no network of the method, or one of another architecture.
    """
    if prefix or not state_dict:
        return
    # first, because what follows compares with the whole network: a frozen encoder may have been
    # left out of the file (save='trained')
    restore_frozen(method, state_dict)
    is_plain = not any(key.startswith('student.') for key in state_dict)
    if is_plain:
        _copy_to_networks(method, state_dict)
    # one set of BatchNorm statistics fills both of a network with ``norm_per_scale``
    match_statistics(method, state_dict)
    if method.new_classifier:  # set by the training loop, with train_cfg.new_classifier
        leave_classifier(method, state_dict)
    else:
        _check_student(method, state_dict)
    if is_plain or method.new_classifier:
        fill_missing_entries(method, state_dict)


def _copy_to_networks(method: BaseModel, state_dict: State) -> None:
    """Rename a plain segmentor's tensors (``backbone.*``) to those of the student, and copy them to
    each of its averages, in place.

    Raises:
        ValueError: There is no segmentor in it.
    """
    parts = {key.split('.')[0] for key in method.student.state_dict()}
    plain = [key for key in state_dict if key.split('.')[0] in parts]
    if not any(key.startswith('backbone.') for key in plain):
        raise ValueError(
            f'this checkpoint fits no network of {type(method).__name__}: its keys begin with '
            f'{sorted({key.split(".")[0] for key in state_dict})[:8]}, expected student.* or a '
            'plain segmentor (backbone.*, decode_head.*). Official training checkpoints '
            '(model.*, ema_model.*) must be converted first: '
            'tools/model_converters/hrda2mmseg_dg.py')
    # an average is kept as ``module`` of an EMATeacher
    copies = ['student', *(f'{name}.module' for name in method.ema_pairs())]
    ours = method.state_dict()
    for key in plain:
        value = state_dict.pop(key)
        # an average may be of a part only (DeFT); the student gets all keys, so that the check that
        # follows reports those that it does not know
        state_dict.update({
            f'{copy}.{key}': value
            for copy in copies if copy == 'student' or f'{copy}.{key}' in ours
        })
    print_log(f'plain segmentor checkpoint: loaded into {", ".join(copies)}', logger='current')


def fill_missing_entries(method: BaseModel, state_dict: dict[str, Tensor]) -> None:
    """Add the method's present values (tensors of any shape) of all that an accepted checkpoint
    lacks, in place: loading them changes nothing.

    What is lacking has been logged by then; without them mmengine would warn again that "the model
    and loaded state dict do not match exactly".
    """
    state_dict.update(
        {key: value
         for key, value in method.state_dict().items() if key not in state_dict})


def _check_student(method: BaseModel, state_dict: State) -> None:
    """Refuse (ValueError) a checkpoint whose ``student.*`` differs from the method's student in
    names or shapes, but for ``OPTIONAL``.
    """
    theirs = {
        key[len('student.'):]: value
        for key, value in state_dict.items() if key.startswith('student.')
    }
    ours = method.student.state_dict()
    # optional tensors may lack on either side
    differing = difference(ours, theirs, _is_optional, _is_optional)
    missing, unexpected = differing.missing, differing.unexpected
    shapes = differing.shape_lines()
    if missing or unexpected or shapes:
        raise ValueError(
            'this checkpoint holds another network than the config '
            f'({type(method.student).__name__}): unexpected ({len(unexpected)}) {unexpected[:8]}, '
            f'missing ({len(missing)}) {missing[:8]}, other shapes ({len(shapes)}) {shapes[:8]}. '
            'Give the config it was trained with; to finetune it for other classes, set '
            'train_cfg.new_classifier=True, which loads all but the classifier; to start from its '
            "encoder only, use network.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., "
            "prefix='student.backbone.')")


def _is_optional(name: str) -> bool:
    """Whether a checkpoint and the network may differ in having a tensor of this name."""
    return name.endswith(OPTIONAL)


def leave_classifier(method: BaseModel, state_dict: dict[str, Tensor]) -> None:
    """Take from a checkpoint with other classes all but the classifiers, for student, teacher and
    frozen copies.

    Left out are the classifier of every head, the same class count or not, whatever else has a size
    that follows from the number of classes (attention per class, label codes, class priors), and
    the counters of the run, so that a teacher's average and a decoder warm-up begin anew.

    Args:
        method: The method that loads.
        state_dict: Tensors of any shape of a checkpoint, under the method's names; changed in
            place.

    Raises:
        ValueError: The checkpoint's network differs in more than its classes.
    """
    ours = method.state_dict()
    classifiers = set(_classifier_keys(method.student))
    # numbers of classes (theirs, ours), read off the classifiers: (C, ...) weights, (C,) biases
    sizes = {(theirs.shape[0], ours[key].shape[0])
             for key, theirs in state_dict.items()
             if _inner(key) in classifiers and key in ours and theirs.dim()}
    left_out: list[str] = []  # names of tensors taken out of the checkpoint, with their shapes
    wrong: list[str] = []  # tensors that differ in more than the number of classes
    for key in list(state_dict):
        if key not in ours:
            continue  # reported below where it is of the student
        theirs, mine = tuple(state_dict[key].shape), tuple(ours[key].shape)
        counter = key.rpartition('.')[2] in COUNTERS
        if theirs != mine and not _follows_classes(theirs, mine, sizes):
            wrong.append(f'{key} {theirs} instead of {mine}')
        elif counter or theirs != mine or _inner(key) in classifiers:
            del state_dict[key]
            if not counter:  # of the counters the log says below that they begin at 0
                change = f'{theirs} -> {mine}' if theirs != mine else f'{mine}'
                left_out.append(f'{key} {change}')
    our_student, their_student = ({k: v
                                   for k, v in state.items() if k.startswith('student.')}
                                  for state in (ours, state_dict))
    differing = difference(our_student, their_student, _is_optional, _is_optional)
    # what was taken out above is not lacking (entries of ``left_out`` begin with the name)
    lacking = [
        k for k in differing.missing if not any(entry.startswith(f'{k} ') for entry in left_out)
    ]
    surplus = differing.unexpected
    if wrong or lacking or surplus:
        raise ValueError(
            'train_cfg.new_classifier=True loads a checkpoint of the same network '
            f'({type(method.student).__name__}) with other classes, but this one differs in more: '
            f'other shapes ({len(wrong)}) {wrong[:8]}, missing ({len(lacking)}) '
            f'{sorted(lacking)[:8]}, unexpected ({len(surplus)}) {surplus[:8]}')
    loaded = sum(key in ours for key in state_dict)
    print_log(
        f'new_classifier: {loaded} tensors loaded; left as initialized ({len(left_out)}): '
        f"{', '.join(left_out)}; the run's counters begin at 0", logger='current')


def _classifier_keys(network: nn.Module) -> Iterator[str]:
    """Names within a network of all parameters with a row per class: classifiers, label codes,
    attention of each class.
    """
    for path, head in heads_of(network):
        prefix = path[len('model.network.'):]  # heads_of names heads by their place in a config
        # mmseg calls a classifier conv_seg; DeepLabV2's branches give logits themselves, DANet has
        # three classifiers
        parts = [name
                 for name, _ in head.named_children() if 'conv_seg' in name] or ['aspp_modules']
        for name, _ in head.named_parameters():
            # the rows of a label code are classes
            if name.split('.')[0] in parts or name == 'code.table':
                yield f'{prefix}.{name}'
    for name, module in network.named_modules():  # HRDA's attention of each class
        if name.endswith('scale_attention') and module.num_classes > 1:
            yield from (f'{name}.conv_seg.{part}' for part, _ in module.conv_seg.named_parameters())


def _inner(key: str) -> str:
    """The name that a method's tensor has within its network: without ``student.`` or, of an
    average, ``teacher.module.`` (DeFT: ``encoder.module.``, ``decoder.module.``).

    ``decoder_init.`` is DeFT's copy of the decode head and becomes ``decode_head.``.
    """
    for prefix in ('student.', 'teacher.module.', 'decoder.module.', 'encoder.module.'):
        if key.startswith(prefix):
            return key[len(prefix):]
    if key.startswith('decoder_init.'):
        return key.replace('decoder_init.', 'decode_head.', 1)
    return key


def _follows_classes(theirs: tuple, mine: tuple, sizes: set[tuple[int, int]]) -> bool:
    """Whether two shapes differ only as the numbers of classes do.

    Args:
        theirs: Shape in the checkpoint.
        mine: Shape in the method.
        sizes: Numbers of classes (theirs, mine) that classifiers have.

    Returns:
        True if each dimension is equal, differs by as much as the numbers of classes (150 + 1
        against 19 + 1), or is in their proportion (4 * 150 against 4 * 19).
    """
    if len(theirs) != len(mine):
        return False
    return all(a == b or any(a - b == old - new or a * new == b * old for old, new in sizes)
               for a, b in zip(theirs, mine))
