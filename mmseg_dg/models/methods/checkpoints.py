"""Which checkpoints a method takes, and what it does with one of a plain segmentor."""
from mmengine.logging import print_log
from torch import Tensor, nn

#: Entries a file may lack or have in surplus.
OPTIONAL = ('num_batches_tracked', 'style_hallucination.proto_mean', 'style_hallucination.proto_std')


def accept_checkpoint(method: nn.Module, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
    """Pre-hook of ``load_state_dict``: take the method's own checkpoints and plain segmentors, refuse the rest.

    mmengine's runner loads without being strict: a foreign file would be "loaded", with a list of keys in the log, and
    random weights would be trained on or judged. A plain segmentor fills the student and its averages.

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
    if not any(key.startswith('student.') for key in state_dict):
        parts = {key.split('.')[0] for key in method.student.state_dict()}
        plain = [key for key in state_dict if key.split('.')[0] in parts]
        if not any(key.startswith('backbone.') for key in plain):
            raise ValueError(
                f'this checkpoint fits no network of {type(method).__name__}: its keys begin with '
                f'{sorted({key.split(".")[0] for key in state_dict})[:8]}, expected student.* or a plain segmentor '
                '(backbone.*, decode_head.*). Official training checkpoints (model.*, ema_model.*) must be converted '
                'first: tools/model_converters/hrda2mmseg_dg.py')
        copies = ['student', *(f'{name}.module' for name in method.ema_pairs())]
        ours = method.state_dict()
        for key in plain:
            value = state_dict.pop(key)
            # an average may be of a part only (DeFT); the student gets all, so that strange keys are reported below
            state_dict.update({f'{copy}.{key}': value for copy in copies
                               if copy == 'student' or f'{copy}.{key}' in ours})
        print_log(f'plain segmentor checkpoint: loaded into {", ".join(copies)}', logger='current')
    _check_student(method, {k[len('student.'):]: v for k, v in state_dict.items() if k.startswith('student.')})


def _check_student(method: nn.Module, theirs: dict[str, Tensor]) -> None:
    ours = method.student.state_dict()
    missing = [k for k in ours if k not in theirs and not k.endswith(OPTIONAL)]
    unexpected = [k for k in theirs if k not in ours and not k.endswith(OPTIONAL)]
    shapes = [f'{k} {tuple(theirs[k].shape)} instead of {tuple(v.shape)}' for k, v in ours.items()
              if k in theirs and theirs[k].shape != v.shape]
    if missing or unexpected or shapes:
        raise ValueError(
            f'this checkpoint holds another network than the config ({type(method.student).__name__}): unexpected '
            f'({len(unexpected)}) {unexpected[:8]}, missing ({len(missing)}) {missing[:8]}, other shapes '
            f'({len(shapes)}) {shapes[:8]}. Give the config it was trained with; to start from its encoder only, use '
            "network.backbone.init_cfg=dict(type='Pretrained', checkpoint=..., prefix='student.backbone.')")
