"""What is refused before anything runs, because its arms could not be compared."""
from collections.abc import Sequence

from .scores import check_score
from .suite import Arm, Suite, arm_name

#: Evaluations of a run: a score is the mean of the last three, and the last quarter must hold one
#: to rise against.
EVALUATIONS = 4
#: Largest difference of two budgets that counts as none, as a share: batches do not divide every
#: number of images.
TOLERANCE = 0.005


def check_suite(suite: Suite, where: str, methods: Sequence[str], encoders: Sequence[str]) -> None:
    """Refuse (ValueError) a suite whose arms cannot be compared: controls, seeds, scores, budgets.

    Args:
        suite: The suite.
        where: Begins messages.
        methods: Names of the arms in its file, which ``lower`` and ``upper`` may name.
        encoders: Names of its encoders.
    """
    for key in (suite.lower, suite.upper):
        if key is not None and key not in methods:
            raise ValueError(f'{where}: the control {key!r} is no arm; there are {list(methods)}')
    if suite.lower == suite.upper:
        raise ValueError(f'{where}: lower and upper are both {suite.lower!r}: nothing lies between '
                         'them')
    if not suite.seeds or len(set(suite.seeds)) < len(suite.seeds):
        raise ValueError(f'{where}: seeds={suite.seeds} must be different numbers, at least one')
    _check_controls(suite, where, encoders)
    for arm in suite.arms:
        check_arm(arm, suite.score, f'{where}: arm {arm.name!r}')
    check_budgets(suite.arms, where)


def _check_controls(suite: Suite, where: str, encoders: Sequence[str]) -> None:
    """Refuse (ValueError) arms without a control, controls in a circle, and an encoder without the
    suite's controls.
    """
    arms = {arm.name: arm for arm in suite.arms}
    for encoder in encoders:
        missing = [
            name for name in (suite.lower, suite.upper)
            if name is not None and arm_name(name, encoder,
                                             len(encoders) > 1) not in arms
        ]
        if missing:
            raise ValueError(f'{where}: the encoder {encoder!r} has no control '
                             f'{" and ".join(missing)}, so that nothing could be said of its arms; '
                             'add it to the encoders of that arm')
    for arm in suite.arms:
        if arm.control is None and arm.name not in suite.controls(arm.encoder):
            raise ValueError(f'{where}: arm {arm.name!r} has no control; every method is judged '
                             'beside one (control: ARM)')
        if arm.control is not None and (arm.control not in arms or arm.control == arm.name):
            raise ValueError(f'{where}: arm {arm.name!r}: control {arm.control!r} is no other arm '
                             f'of {list(arms)}')
    for arm in suite.arms:
        chain = [arm.name]  # the arm, its control, the control's control, ...
        while (control := arms[chain[-1]].control) is not None:
            chain.append(control)
            if control in chain[:-1]:
                raise ValueError(f'{where}: controls in a circle: {" -> ".join(chain)}; one of '
                                 'them must stand without (the lower control)')


def check_arm(arm: Arm, score: str, where: str) -> None:
    """Refuse an arm whose length is not known, that is judged too seldom, or cannot have the score.

    Args:
        arm: The arm.
        score: ``'<domain>/<metric>'``.
        where: Begins messages.

    Raises:
        ValueError: See :func:`.suite_file.read_suite`.
    """
    train = arm.cfg.get('train_cfg') or {}
    if not train.get('max_iters') or not arm.cfg.get('train_dataloader'):
        raise ValueError(
            f'{where}: {arm.config.name} says no train_cfg.max_iters, so that its budget is not '
            'known')
    if 'dataset' in arm.cfg.train_dataloader:
        raise ValueError(f'{where}: {arm.config.name} has one unnamed training stream; name it '
                         '(source=dict(...))')
    evaluations = arm.evaluations
    begin = f' from {train["val_begin"]} on (val_begin)' if train.get('val_begin') else ''
    if len(evaluations) < EVALUATIONS:
        raise ValueError(
            f'{where} evaluates {len(evaluations)} times in {arm.steps} iterations{begin}; a score '
            f'is the mean of the last three, and {EVALUATIONS} are needed: set options: '
            f'[train_cfg.val_interval={max(1, arm.steps // 10)}'
            f'{", train_cfg.val_begin=1" if begin else ""}]')
    if evaluations[0] > 0.75 * arm.steps:
        raise ValueError(
            f'{where} is first evaluated after {evaluations[0]} of {arm.steps} iterations{begin}; '
            'one within the first three quarters is needed, against which the last quarter may '
            'rise: set options: [train_cfg.val_begin=1]')
    check_score(arm.cfg, score, where)


def check_budgets(arms: list[Arm], where: str) -> None:
    """Refuse a suite whose arms (of one encoder) have not read equally many images at their end.

    Raises:
        ValueError: They have not; every arm is listed.
    """
    for encoder in dict.fromkeys(arm.encoder for arm in arms):
        group = [arm for arm in arms if arm.encoder == encoder]
        low, high = min(a.budget for a in group), max(a.budget for a in group)
        if high - low > TOLERANCE * high:
            rows = '\n'.join(
                f'  {a.name}: {a.steps} steps x {a.images_per_step} images + {a.images_before} '
                'before = '
                f'{a.budget}' for a in group)
            raise ValueError(
                f'{where}: the arms have unequal budgets (optimizer steps x images of all '
                'streams):\n'
                f'{rows}\nchange train_cfg.max_iters or batch sizes by options')
