"""A suite: the arms that are compared, and what each of them reads."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mmengine.config import Config

from mmseg_dg.apis.study import folder_name, variant_of


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
        processes: That train one run; batch sizes are per process.
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
    processes: int = 1

    def work_dir(self, folder: Path, seed: int) -> Path:
        """Work dir of the run of one seed, below a leaderboard's folder; its name is the one that
        :class:`Study` gives it.
        """
        variant = variant_of(self.row, self.subset, seed)
        name = folder_name([*variant.values(), f'seed{seed}'])
        return self.runs(folder) / name

    def runs(self, folder: Path) -> Path:
        """Folder of its work dirs, below a leaderboard's; another one for each number of processes,
        since they read other numbers of images.
        """
        runs = 'runs' if self.processes == 1 else f'runs_{self.processes}_processes'
        return folder / runs / self.name

    @property
    def steps(self) -> int:
        """Optimizer steps of a run."""
        return int(self.cfg.train_cfg['max_iters'])

    @property
    def images_per_step(self) -> int:
        """Images of all streams in one step, of all processes together."""
        return images_per_step(self.cfg) * self.processes

    @property
    def budget(self) -> int:
        """Images read: steps x images of all streams, and those before."""
        return self.steps * self.images_per_step + self.images_before

    @property
    def evaluations(self) -> list[int]:
        """Iterations after which a run is evaluated, ascending."""
        train = self.cfg.train_cfg
        interval, begin = int(train.get('val_interval') or 0), int(train.get('val_begin') or 1)
        if not interval:
            return []
        # as MultiStreamTrainLoop: also after the last one
        due = {*range(interval, self.steps + 1, interval), self.steps}
        return sorted(n for n in due if n >= begin)


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
        lower, upper: Methods (keys of ``arms``) of the two controls; None for an upper one that
            an unranked suite does without.
        seeds: Of every arm.
        arms: In the order of the file, each with each of its encoders.
        seconds_per_image: CPU-seconds, for plans of what was never measured.
        least_spread: By how many points the upper control must be better than the lower.
        ranked: Whether arms are sorted by score, between two controls; else each stands beside its
            control, in the order of the file.
    """
    name: str
    title: str
    about: str
    score: str
    lower: str
    upper: Optional[str]
    seeds: list[int]
    arms: list[Arm]
    seconds_per_image: float = 0.1
    least_spread: float = 5.
    ranked: bool = True

    def arm(self, name: str) -> Arm:
        """The arm of a name."""
        return next(arm for arm in self.arms if arm.name == name)

    def controls(self, encoder: str) -> list[str]:
        """Names of the lower and, where there is one, the upper control with an encoder."""
        several = len({arm.encoder for arm in self.arms}) > 1
        return [
            arm_name(key, encoder, several) for key in (self.lower, self.upper) if key is not None
        ]


def arm_name(key: str, encoder: str, several: bool) -> str:
    """Name of an arm: the method's key, and the encoder's where there are several."""
    return f'{key}-{encoder}' if several else key


def budget_text(arms: Sequence[Arm]) -> str:
    """``every arm reads 9600 images``; with encoders whose arms read other numbers, each of them.
    Budgets of one encoder differ by rounding at most.
    """
    budgets: dict[str, set[int]] = {}  # encoder -> images
    for arm in arms:
        budgets.setdefault(arm.encoder, set()).add(arm.budget)
    if len({number for found in budgets.values() for number in found}) == 1:
        return f'every arm reads {arms[0].budget} images'
    texts = {
        encoder: f'{min(found)} to {max(found)}' if len(found) > 1 else f'{min(found)}'
        for encoder, found in budgets.items()
    }
    if len(texts) == 1:
        return f'an arm reads {texts[arms[0].encoder]} images'
    return 'an arm reads ' + ', '.join(f'{text} images with {encoder}'
                                       for encoder, text in texts.items())
