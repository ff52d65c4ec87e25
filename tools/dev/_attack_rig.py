"""Tiny data and runs for the attack: forked from one process that has everything imported."""
import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable, Optional

import cv2
import numpy as np
import torch

import mmseg_dg  # noqa: F401

TOOLS = Path(__file__).resolve().parents[1]
ITERS = 8  # iterations of every run; checkpoints at each second one

#: Text of a config; fields: recipe, root, workers, margins, streams, iters.
CONFIG = '''
_base_ = 'mmseg_dg::custom/custom_{recipe}.py'
mine = dict(data_root={root!r}, classes=['background', 'object'], palette=None)
few = dict(batch_size=1, num_workers={workers}, persistent_workers=False)
read = [dict(type='LoadImageFromFile')]
tail = [dict(type='RandomCrop', crop_size=(64, 64)), dict(type='RandomFlip', prob=0.5), dict(type='PackStreamInputs')]
labeled = dict(dataset=dict(pipeline=read + [dict(type='LoadAnnotations')] + tail, data_prefix=dict(
    img_path='images', seg_map_path='masks'), **mine), **few)
unlabeled = dict(dataset=dict(pipeline=read + {margins} + tail, data_prefix=dict(img_path='unlabeled'), **mine),
                  **few)
train_dataloader = dict({streams})
val_dataloader = dict(own=dict(num_workers=0, persistent_workers=False, dataset=dict(
    data_prefix=dict(img_path='images', seg_map_path='masks'), indices=1, **mine)))
test_dataloader = val_dataloader
model = dict(network=dict(
    backbone=dict(_delete_=True, type='MixTransformer', arch='b0', embed_dims=8, num_layers=[1] * 4, init_cfg=None),
    decode_head=dict(in_channels=[8, 16, 40, 64], channels=8, embed_channels=8, num_classes=2)))
train_cfg = dict(max_iters={iters}, val_interval=2)
param_scheduler = [dict(type='WarmupPolyLR', power=1.0, warmup_iters=1, warmup_ratio=1e-6, min_lr=0.)]
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2, save_best='own/mIoU'), logger=dict(interval=1))
del mine, few, read, tail, labeled, unlabeled
'''
#: Recipe (of configs/custom) -> its streams.
STREAMS = dict(supervised='source=labeled', uda='source=labeled, target=unlabeled',
               semi='labeled=labeled, unlabeled=unlabeled')


class Rig:
    """Tiny data, configs and reference results; runs are forked from this process, which has everything imported.

    Args:
        folder: Empty; everything goes there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0  # numbers work dirs and outputs
        self._whole: dict = {}  # config -> tensors of its uninterrupted run
        rng = np.random.default_rng(0)
        for kind in ('images', 'masks', 'unlabeled'):
            (folder / 'data' / kind).mkdir(parents=True)
        for i in range(8):
            label = np.kron(rng.integers(0, 2, (6, 6)), np.ones((16, 16), int)).astype(np.uint8)
            image = (label[..., None] * 120 + rng.integers(0, 60, (96, 96, 3))).astype(np.uint8)
            cv2.imwrite(str(folder / f'data/{"images" if i < 4 else "unlabeled"}/{i}.png'), image)
            if i < 4:  # the others are the unlabeled stream: a run refuses images that are in both
                cv2.imwrite(str(folder / f'data/masks/{i}.png'), label)
        from mmengine.config import config
        config.FormatCode = lambda text, **_: (text, True)  # mmengine formats the config five times a run
        torch.set_num_threads(1)

    def config(self, recipe: str = 'supervised', workers: int = 0, iters: int = ITERS, more: str = '',
               name: str = '') -> Path:
        """Write a config and return its path.

        Args:
            recipe: Key of ``STREAMS``.
            workers: Data loading workers of each stream.
            iters: Iterations of the run.
            more: Lines to add.
            name: Begins the file's name in the place of the recipe.
        """
        path = self.folder / f'{name or recipe}_{workers}_{iters}.py'
        margins = "[dict(type='PseudoLabelMargins')]" if recipe in ('uda', 'semi') else '[]'
        path.write_text(CONFIG.format(recipe=recipe, root=str(self.folder / 'data'), workers=workers, iters=iters,
                                      streams=STREAMS[recipe], margins=margins) + more, encoding='utf-8')
        return path

    def shrunken(self, name: str) -> Path:
        """A config of the package (``NAME`` or ``NAME --row ROW``) on generated files, made to train in seconds."""
        stem = name.replace(' --row ', '_')
        path = self.folder / f'{stem}.py'
        if path.exists():  # made once: its random "pretrained" weights would be others the next time
            return path
        sys.path[:0] = [str(TOOLS.parent / 'tests')]
        from mmengine.config import Config
        from test_configs.catalog import load
        from test_configs.fake_data import write_all
        from test_configs.shrink import shrink
        from test_configs.test_dataset_files import plant
        data = self.folder / 'shrunken_data'
        if not data.is_dir():
            plant(write_all(data, count=4))
        cfg = shrink(load(name), self.folder / stem, data, iters=ITERS)
        cfg.custom_hooks = [h for h in cfg.get('custom_hooks', []) if 'Pictures' not in h.type]
        cfg.train_cfg.val_interval = 2
        domain = next(iter(cfg.val_dataloader))
        cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=2, save_best=f'{domain}/mIoU')
        cfg.pop('work_dir')  # each run gets one on the command line
        Config(cfg._cfg_dict, format_python_code=False).dump(path)
        return path

    def work_dir(self) -> Path:
        """Path of a new work dir, which is not made."""
        self._count += 1
        return self.folder / f'run{self._count}'

    def start(self, *words: Any, before: Optional[Callable[[], None]] = None, tool: str = 'train') -> 'Run':
        """Fork a process that runs a tool as a command would.

        Args:
            *words: Arguments of the command line.
            before: Called in the new process, before the tool.
            tool: Name of the file in tools/.
        """
        self._count += 1
        out = self.folder / f'out{self._count}.txt'
        out.touch()  # read before the fork has opened it
        process = os.fork()
        if process:  # this process; the new one goes on below, and never returns
            return Run(process, out)
        status = 1
        try:
            with open(out, 'w', encoding='utf-8') as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            if before is not None:
                before()
            sys.argv = [str(TOOLS / f'{tool}.py'), *map(str, words)]
            try:
                runpy.run_path(sys.argv[0], run_name='__main__')
                status = 0
            except SystemExit as left:
                status = left.code or 0
            except BaseException:  # noqa: BLE001
                import traceback
                traceback.print_exc()
            from mmseg_dg.utils.run_lock import _release_all
            _release_all()  # what the end of an interpreter does; this fork has none
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def run(self, *words: Any, **options: Any) -> tuple[int, str]:
        """As :meth:`start`, and wait for the end: (exit status, all it wrote)."""
        return self.start(*words, **options).wait()

    def whole(self, config: Path) -> dict:
        """Tensors (:func:`state_of`) of the uninterrupted run of a config, which runs once.

        Raises:
            RuntimeError: It failed.
        """
        if config not in self._whole:
            work = self.work_dir()
            status, text = self.run(config, '--work-dir', work)
            if status:
                raise RuntimeError(f'the uninterrupted run failed: {text[-1500:]}')
            self._whole[config] = state_of(work)
        return self._whole[config]

    def finished_like_whole(self, config: Path, work: Path) -> str:
        """'' when a folder holds what the uninterrupted run leaves, else what differs."""
        left = [p.name for p in work.iterdir() if p.name.endswith(('.part', '.stale')) or p.name == '.run_lock.json']
        if left:
            return f'left over: {left}'
        ours, theirs = state_of(work), self.whole(config)
        if ours.keys() != theirs.keys():
            return f'other entries: {sorted(ours.keys() ^ theirs.keys())[:4]}'
        other = [key for key in ours if not torch.equal(ours[key], theirs[key])]
        best = list(work.glob('best_*.pth'))
        if len(best) != 1:
            return f'{len(best)} best checkpoints'
        return f'{len(other)} of {len(ours)} tensors differ, e.g. {other[:2]}' if other else ''


class Run:
    """A forked run.

    Attributes:
        process: Its number.
        out: File with all that it writes.
        status: Exit status, minus the signal for a run that a signal ended; None while it runs.
    """

    def __init__(self, process: int, out: Path) -> None:
        self.process, self.out, self.status = process, out, None

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            found, code = os.waitpid(self.process, os.WNOHANG)
            if found:
                self.status = os.waitstatus_to_exitcode(code)
        return self.status is not None

    def wait(self, timeout: float = 900.) -> tuple[int, str]:
        """Wait for the end, and kill the run after ``timeout`` seconds: (status, all it wrote)."""
        until = time.monotonic() + timeout
        while not self.poll():
            if time.monotonic() > until:
                os.kill(self.process, signal.SIGKILL)
            time.sleep(0.02)
        return self.status, self.text

    @property
    def text(self) -> str:
        """All that the run has written so far, to standard output and error."""
        return self.out.read_text(encoding='utf-8', errors='replace')

    def until(self, condition: Callable[[], bool], pause: float = 0.0005) -> bool:
        """Wait until ``condition`` is true, asking every ``pause`` seconds; False if the run ended before."""
        while not self.poll():
            if condition():
                return True
            time.sleep(pause)
        return False

    def send(self, number: int) -> None:
        """Send a signal, unless the run has ended."""
        if not self.poll():
            os.kill(self.process, number)


def state_of(work: Path) -> dict[str, torch.Tensor]:
    """All numbers of weights, optimizer and schedules of the last checkpoint, by dotted name, as tensors
    of any shape.
    """
    from mmseg_dg.utils.checkpoint_reader import read_checkpoint
    content, found = read_checkpoint(work / f'iter_{ITERS}.pth'), {}

    def visit(prefix: str, value: Any) -> None:
        """Take in a value and what is in it; what is no number is passed over."""
        if isinstance(value, dict):
            for key, item in value.items():
                visit(f'{prefix}.{key}', item)
        elif isinstance(value, (list, tuple)):
            for key, item in enumerate(value):
                visit(f'{prefix}.{key}', item)
        elif isinstance(value, torch.Tensor):
            found[prefix] = value
        elif isinstance(value, (int, float)):
            found[prefix] = torch.tensor(value, dtype=torch.float64)

    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        visit(part, content[part])
    return found
