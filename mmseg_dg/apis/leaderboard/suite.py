"""A suite: the arms that are compared, read from a YAML file and refused where the comparison would
not be fair."""
import argparse
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import yaml
from mmengine.config import Config, DictAction

from mmseg_dg.apis.label_free import images_only
from mmseg_dg.apis.row_configs import load_config
from mmseg_dg.apis.study import folder_name, variant_of

#: Evaluations of a run: a score is the mean of the last three, and the last quarter must hold one
#: to rise against.
EVALUATIONS = 4
#: Largest difference of two budgets that counts as none, as a share: batches do not divide every
#: number of images.
TOLERANCE = 0.005
_SUITE_KEYS = {
    'title', 'about', 'score', 'lower', 'upper', 'seeds', 'options', 'encoders', 'arms',
    'seconds_per_image', 'least_spread'
}
_ARM_KEYS = {
    'config', 'row', 'method', 'control', 'options', 'images_before', 'why_images_before',
    'cpu_seconds', 'encoders', 'subset'
}


@dataclass
class Arm:
    """One method with one encoder.

    Attributes:
        name: Its folder and its row.
        config: Config file.
        method, encoder: Words for the table.
        control: Name of the arm its gain is measured against; None for a lower control.
        options: ``KEY=VALUE`` for the training.
        images_before: Images that were spent before this run (pretraining of its own) and count
            into its budget.
        cpu_seconds: Of one run, measured; None: estimated.
        row: Variant of the config, of the ``ablations.yml`` beside it; None: the config itself.
        subset: Lists of labeled images; ``{seed}`` in it stands for the run's seed. None: the
            config's own.
        cfg: The config with its row and options (with several lists that of the first seed).
    """
    name: str
    config: Path
    method: str
    encoder: str
    control: Optional[str]
    options: list[str]
    images_before: int = 0
    cpu_seconds: Optional[float] = None
    row: Optional[str] = None
    subset: Optional[str] = None
    cfg: Config = field(default_factory=Config)

    def work_dir(self, folder: Path, seed: int) -> Path:
        """Work dir of the run of one seed, below a leaderboard's folder; its name is the one that
        :class:`Study` gives it.
        """
        variant = variant_of(self.row, self.subset, seed)
        name = folder_name([*variant.values(), f'seed{seed}'])
        return folder / 'runs' / self.name / name

    @property
    def steps(self) -> int:
        """Optimizer steps of a run."""
        return int(self.cfg.train_cfg['max_iters'])

    @property
    def images_per_step(self) -> int:
        """Images of all streams in one step."""
        return images_per_step(self.cfg)

    @property
    def budget(self) -> int:
        """Images read: steps x images of all streams, and those before."""
        return self.steps * self.images_per_step + self.images_before


def images_per_step(cfg: Config) -> int:
    """Images that all streams of a config give one optimizer step."""
    loaders = cfg.train_dataloader
    streams = [loaders] if 'dataset' in loaders else [v for v in loaders.values() if v is not None]
    per_batch = sum(int(stream['batch_size']) for stream in streams)
    # ``accumulate``: batches whose gradients are added up for one step
    return per_batch * int(cfg.train_cfg.get('accumulate', 1))


@dataclass
class Suite:
    """What a leaderboard runs.

    Attributes:
        name: Of the file.
        title, about: For the page.
        score: ``<domain>/<metric>`` the arms are ranked by.
        lower, upper: Methods (keys of ``arms``) of the two controls.
        seeds: Of every arm.
        arms: In the order of the file, each with each of its encoders.
        seconds_per_image: CPU-seconds, for plans of what was never measured.
        least_spread: How far the upper control must be above the lower in points.
    """
    name: str
    title: str
    about: str
    score: str
    lower: str
    upper: str
    seeds: list[int]
    arms: list[Arm]
    seconds_per_image: float = 0.1
    least_spread: float = 5.

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    def controls(self, encoder: str) -> tuple[str, str]:
        """Names of the lower and upper control with an encoder."""
        several = len({arm.encoder for arm in self.arms}) > 1
        lower, upper = (arm_name(key, encoder, several) for key in (self.lower, self.upper))
        return lower, upper


def arm_name(key: str, encoder: str, several: bool) -> str:
    """Name of an arm: the method's key, and the encoder's where there are several."""
    return f'{key}-{encoder}' if several else key


def read_suite(path: Path) -> Suite:
    """Read and check a suite; nothing is trained and no image is read.

    Raises:
        FileNotFoundError: No such file, or an arm's config that is not there.
        ValueError: Unknown or missing keys, an unknown control, budgets that differ, too few
            evaluations, or a score that needs labels of a domain without.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no suite {path}')
    data = yaml.safe_load(path.read_text(encoding='utf-8'))
    if not isinstance(data, dict):
        raise ValueError(f'{path}: a suite is a YAML mapping with {sorted(_SUITE_KEYS)}')
    _check_keys(data, _SUITE_KEYS, {'title', 'score', 'lower', 'upper', 'arms'}, str(path))
    # name -> its options; without any, one encoder without a name: that of each config
    encoders = data.get('encoders') or {'': {}}
    several = len(encoders) > 1
    arms = [
        _arm(path, key, entry, encoder, setting or {}, data, several)
        for key, entry in data['arms'].items() for encoder, setting in encoders.items()
        if encoder in (entry.get('encoders') or encoders)  # an arm may have some of them only
    ]
    suite = Suite(name=path.stem, title=str(data['title']), about=str(data.get('about', '')),
                  score=str(data['score']), lower=str(data['lower']), upper=str(data['upper']),
                  seeds=[int(seed) for seed in data.get('seeds', [0])], arms=arms,
                  seconds_per_image=float(data.get('seconds_per_image', 0.1)),
                  least_spread=float(data.get('least_spread', 5.)))
    _check(suite, path, data['arms'])
    return suite


def _arm(path: Path, key: str, arm: Mapping, encoder: str, setting: Mapping, data: Mapping,
         several: bool) -> Arm:
    """One arm of the suite with one encoder, its config resolved.

    Args:
        path: The suite's file; configs count from its folder.
        key: Name of the arm in the file.
        arm: What the file says of it.
        encoder: Name of the encoder, '' where the suite has none.
        setting: What the file says of the encoder.
        data: The whole file.
        several: Whether there are several encoders, which then are part of the arm's name.

    Raises:
        ValueError, FileNotFoundError: As :func:`read_suite`.
    """
    where = f'{path}: arm {key!r}'
    if not isinstance(arm, Mapping):
        raise ValueError(f'{where} is {arm!r}; it needs config: FILE')
    _check_keys(arm, _ARM_KEYS, {'config'}, where)
    if arm.get('images_before') and not arm.get('why_images_before'):
        raise ValueError(
            f'{where}: images_before needs why_images_before, a sentence for the reader')
    config = (path.parent / arm['config']).resolve()
    if not config.is_file():
        raise FileNotFoundError(f'{where}: there is no config {config}{_similar(config)}')
    # later ones win: of the suite, of the encoder, of the arm
    options = [
        *(data.get('options') or []), *(setting.get('options') or []), *(arm.get('options') or [])
    ]
    row, subset = arm.get('row'), arm.get('subset')
    # ``{seed}`` in the subset stands for the first seed here
    first = variant_of(row, subset, (data.get('seeds') or [0])[0])
    cfg = load_config(config, row, first.get('subset'))
    cfg.merge_from_dict(parse_options(options, where))
    control = arm.get('control')
    control_arm = None if control is None else arm_name(control, encoder, several)
    name, method = arm_name(key, encoder, several), arm.get('method', key)
    return Arm(name=name, config=config, method=method, encoder=encoder, control=control_arm,
               options=options, images_before=int(arm.get('images_before', 0)),
               cpu_seconds=arm.get('cpu_seconds'), row=row, subset=subset, cfg=cfg)


def parse_options(options: list, where: str) -> dict:
    """``['a.b=1']`` -> ``{'a.b': 1}`` as ``--cfg-options`` reads them.

    Raises:
        ValueError: No ``=`` in one.
    """
    for option in options:
        if '=' not in str(option):
            raise ValueError(f'{where}: options are KEY=VALUE, got {option!r}')
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='*', action=DictAction)
    return parser.parse_args(['--options', *map(str, options)]).options or {}


def _similar(config: Path) -> str:
    """``; did you mean PATH?``, to end a message about a config that is not there, with the file of
    the most similar name in the same tree of ``configs``; '' if none is similar.
    """
    root = next((parent for parent in config.parents if parent.name == 'configs'), config.parent)
    names = {file.name: file for file in root.rglob('*.py')} if root.is_dir() else {}
    close = difflib.get_close_matches(config.name, names, 1)
    return f'; did you mean {names[close[0]]}?' if close else ''


def _check_keys(mapping: Mapping, known: set, needed: set, where: str) -> None:
    """Refuse (ValueError) keys that are not known, and needed ones that are missing."""
    unknown, missing = sorted(set(mapping) - known), sorted(needed - set(mapping))
    if unknown or missing:
        raise ValueError(f'{where}: ' + '; '.join(
            filter(None, [
                f'unknown keys {unknown}, known are {sorted(known)}' if unknown else '',
                f'{missing} missing' if missing else ''
            ])))


def _check(suite: Suite, path: Path, methods: Mapping) -> None:
    """Refuse (ValueError) a suite whose arms cannot be compared: controls, seeds, scores, budgets.

    Args:
        suite: The suite.
        path: Its file, which begins messages.
        methods: ``arms`` of the file; keys are what ``lower`` and ``upper`` may name.
    """
    names = [arm.name for arm in suite.arms]
    for key in (suite.lower, suite.upper):
        if key not in methods:
            raise ValueError(f'{path}: the control {key!r} is no arm; there are {list(methods)}')
    if not suite.seeds or len(set(suite.seeds)) < len(suite.seeds):
        raise ValueError(f'{path}: seeds={suite.seeds} must be different numbers, at least one')
    for arm in suite.arms:
        where = f'{path}: arm {arm.name!r}'
        if arm.control is None and arm.name not in suite.controls(arm.encoder):
            raise ValueError(
                f'{where} has no control; every method is judged beside one (control: ARM)')
        if arm.control is not None and (arm.control not in names or arm.control == arm.name):
            raise ValueError(f'{where}: control {arm.control!r} is no other arm of {names}')
        check_arm(arm, suite.score, where)
    check_budgets(suite.arms, str(path))


def check_arm(arm: Arm, score: str, where: str) -> None:
    """Refuse an arm whose length is not known, that is judged too seldom, or cannot have the score.

    Args:
        arm: The arm.
        score: ``'<domain>/<metric>'``; the domain ``mean`` needs labels of at least one domain.
        where: Begins messages.

    Raises:
        ValueError: See :func:`read_suite`.
    """
    train, loaders = arm.cfg.get('train_cfg') or {}, arm.cfg.get('val_dataloader') or {}
    if not train.get('max_iters') or not arm.cfg.get('train_dataloader'):
        raise ValueError(
            f'{where}: {arm.config.name} says no train_cfg.max_iters, so that its budget is not '
            'known')
    if 'dataset' in arm.cfg.train_dataloader:
        raise ValueError(f'{where}: {arm.config.name} has one unnamed training stream; name it '
                         '(source=dict(...))')
    interval = int(train.get('val_interval') or 0)
    if not interval or arm.steps // interval < EVALUATIONS:
        raise ValueError(
            f'{where} evaluates {arm.steps // interval if interval else 0} times in {arm.steps} '
            f'iterations; a score is the mean of the last three, and {EVALUATIONS} are needed: '
            f'set options: [train_cfg.val_interval={max(1, arm.steps // 10)}]')
    domain = score.partition('/')[0]
    # domains by name; a single dataloader is the domain 'val'
    named = dict(val=loaders) if 'dataset' in loaders else {
        name: loader
        for name, loader in loaders.items() if loader is not None
    }
    if domain not in (*named, 'mean'):
        raise ValueError(
            f'{where}: score {score!r} is of no validation domain; there are {list(named)}, and '
            'mean')
    for name in named if domain == 'mean' else [domain]:
        if domain != 'mean' and images_only(named[name]['dataset']) and 'label_free' not in score:
            raise ValueError(
                f'{where}: score {score!r} needs labels, but the domain {name!r} has none; score '
                f'it by {name}/label_free, or give it masks')
    if domain == 'mean' and all(images_only(v['dataset'])
                                for v in named.values()) and 'label_free' not in score:
        raise ValueError(
            f'{where}: score {score!r} needs labels, but none of the domains {list(named)} has any')


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
