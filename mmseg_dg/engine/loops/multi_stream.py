"""The training loop over several named data streams."""
import copy
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any, Optional, Union

import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmseg_dg.datasets.bad_samples import summary as bad_samples_summary
from mmseg_dg.datasets.crop_setting import CropSize, with_crop_size
from mmseg_dg.datasets.samplers.infinite import StatelessSampler
from mmseg_dg.engine.cached_features import CachedFeatures, streams_of
from mmseg_dg.engine.compiling import compile_networks
from mmseg_dg.engine.distributed import share_buffers
from mmseg_dg.engine.hooks.domain_checkpoint import DomainCheckpointHook
from mmseg_dg.engine.named_loaders import NamedLoaders
from mmseg_dg.engine.optim.report import log_schedule
from mmseg_dg.engine.preflight import (
    Problems,
    check_batch_norm,
    check_engine,
    check_float_images,
    check_ignore_index,
    check_ignored_labels,
    check_images,
    check_labels,
    check_method,
    check_num_classes,
    check_optimizer,
    check_samples,
    check_stream_config,
    check_streams,
    check_unlabeled,
    config_problems,
    warn_padding,
)
from mmseg_dg.engine.training_loop import AnnouncingLoop
from mmseg_dg.methods.base import BaseMethod
from mmseg_dg.methods.step import StepContext
from mmseg_dg.models.segmentors.network import accuracies
from mmseg_dg.registry import LOOPS
from mmseg_dg.utils.allocator import keep_freed_memory
from mmseg_dg.utils.method import method_of
from mmseg_dg.utils.run_names import make_current
from mmseg_dg.utils.seeding import derive_seed, seed_everything

from .finite_guard import FiniteGuard


@LOOPS.register_module()
class MultiStreamTrainLoop(AnnouncingLoop):
    """One batch of every stream per iteration, one optimizer step per iteration.

    The step, and every sample in it, is a function of (seed, rank, iteration): resuming at
    iteration N asks the samplers for draw N and loads nothing before it. A validation due at
    iteration k is finished before k's checkpoint is written.

    Args:
        runner: The runner.
        dataloader: ``{stream name: dataloader config}``, e.g. source and target.
        max_iters: Iterations of the run.
        max_epochs: Instead: epochs of ``epoch_stream``, one epoch being ``floor(N / (batch size *
            accumulate * processes))`` iterations; ``val_interval`` and ``val_begin`` then count
            epochs.
        epoch_stream: The stream whose length defines an epoch.
        val_interval: Iterations (or epochs) between validations.
        val_begin: First iteration (or epoch) after which to validate.
        accumulate: Micro-batches per iteration, whose gradients are averaged.
        preflight_samples: Samples of each stream that are loaded and checked before iteration 0,
            beside the headers of all images; semi-supervised methods read all labels as well. 0
            checks none.
        on_nonfinite: What follows a step with NaN or infinite images, losses or gradients:
            ``'stop'`` (an error that names iteration, pass, term and files), or ``'skip'`` (the
            step is left out, logged and counted). Either way optimizer, averages and checkpoints
            never see it. Steps that a loss scaler skips are no such steps.
        max_nonfinite_in_a_row: With ``'skip'``: so many in a row end the run.
        on_bad_sample: What follows an image or label that is gone, empty, cut off or damaged:
            ``'stop'`` (an error that names the file), or ``'skip'`` (after three tries another
            sample takes its place, a function of the draw alone; ``bad_samples.csv`` in the work
            dir lists it).
        new_classifier: ``load_from`` is a checkpoint with other classes: load all but the
            classifiers (of the student, the teacher and frozen copies), which start from their
            initialization, and say in the log what was left out. A resumed run loads everything.
        crop_size: (height, width), or one number: the size of the fixed-size crops in the pipelines
            of all streams, and of ``Pad`` before them, where they state none.
        cached_features: Arguments of :class:`mmseg_dg.engine.cached_features.CachedFeatures`
            (``dict(views=8)``): the maps of a frozen encoder are computed once and kept on disk,
            and the run trains on them. None: pictures.
        compile: Arguments of ``torch.compile`` for the networks, see
            :func:`mmseg_dg.engine.compiling.compile_networks` (True: its defaults). None: not.

    Raises:
        ValueError: Contradictory lengths, a stream without a dataset, streams the method does not
            know, bad samples.
    """
    def __init__(self, runner: Runner, dataloader: dict[str, dict], max_iters: Optional[int] = None,
                 max_epochs: Optional[int] = None, epoch_stream: Optional[str] = None,
                 val_interval: int = 1000, val_begin: int = 1, accumulate: int = 1,
                 preflight_samples: int = 8, on_nonfinite: str = 'stop',
                 max_nonfinite_in_a_row: int = 10, on_bad_sample: str = 'stop',
                 new_classifier: bool = False, crop_size: CropSize = None,
                 cached_features: Optional[dict] = None, compile: Union[bool, dict,
                                                                        None] = None) -> None:
        dataloader = with_crop_size(dataloader, crop_size)
        check_config(runner, dataloader, preflight_samples,
                     dict(max_iters=max_iters, max_epochs=max_epochs, accumulate=accumulate))
        self.cached_features = CachedFeatures.from_arguments(cached_features, method_of(runner))
        make_current(runner)  # schedules look for their run's length in "the current" message hub
        self._stream_configs = named_streams(dataloader)  # {stream: dataloader config}
        loaders = NamedLoaders(build_streams(runner, dataloader, on_bad_sample), what='stream')
        super().__init__(runner, loaders)
        self.finite = FiniteGuard(self, on_nonfinite, max_nonfinite_in_a_row)
        self._announce_classifier(new_classifier)
        self.accumulate = accumulate
        self.preflight_samples = preflight_samples
        self.compile = compile
        self.epoch_length = self._epoch_length(epoch_stream, max_epochs)
        self._max_epochs = max_epochs or 1  # 1 where the length is given in iterations
        unit = 1 if max_iters is not None else self.epoch_length  # iterations, or epochs of them
        self._max_iters = max_iters if max_iters is not None else self._max_epochs * unit
        self.val_interval = val_interval * unit
        self.val_begin = val_begin * unit
        self._iter = self._epoch = 0  # how many are done; mmengine's resume sets them
        self.stop_training = False  # DomainCheckpointHook sets it: end after this iteration
        runner.message_hub.update_info('max_iters', self._max_iters)  # schedules read it
        # mmengine's scale_lr reads a batch size there: per iteration, of the method's first stream
        name = next((s for s in method_of(runner).streams if s in loaders.names), loaders.names[0])
        runner._train_dataloader = dict(batch_size=(loaders[name].batch_size or 1) * accumulate)

    def _announce_classifier(self, new: bool) -> None:
        """Tell the method, before mmengine's runner loads ``load_from``, to leave the checkpoint's
        classifier out; ``new`` is ``train_cfg.new_classifier``.
        """
        # mmengine's runner keeps the arguments resume and load_from as _resume and _load_from
        if not new or self.runner._resume:  # a resumed run has its own classifier
            return
        if not self.runner._load_from:
            raise ValueError('train_cfg.new_classifier=True leaves the classifier of a checkpoint '
                             'out, but there is none: set load_from=FILE, or remove new_classifier')
        method_of(self.runner).new_classifier = True

    def _epoch_length(self, stream: Optional[str], max_epochs: Optional[int]) -> int:
        """Iterations in which the stream is seen once; 0 where the length is not given in epochs.
        """
        if max_epochs is None:
            return 0
        if stream not in self.dataloader.names:
            raise ValueError(f'max_epochs={max_epochs} needs epoch_stream, one of '
                             f'{self.dataloader.names}; got {stream!r}')
        loader = self.dataloader[stream]
        batch = loader.batch_size * self.accumulate * get_world_size()
        length = len(loader.dataset) // batch
        if length == 0:
            raise ValueError(f'stream "{stream}" has {len(loader.dataset)} samples, fewer than one '
                             f'batch of {batch}: lower batch_size or set max_iters')
        return length

    # ------------------------------------------------------------------ what mmengine reads
    @property
    def max_epochs(self) -> int:
        return self._max_epochs

    @property
    def max_iters(self) -> int:
        return self._max_iters

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def iter(self) -> int:
        return self._iter

    # ------------------------------------------------------------------ running
    def run(self) -> nn.Module:
        """Train from the current iteration (0, or where a checkpoint left off) to the last; returns
        the runner's model.
        """
        make_current(self.runner)
        method = self._prepare()
        self.runner.call_hook('before_train')
        log_schedule(self.runner)  # after the hooks: DecoderWarmupHook tells schedules its length
        self.runner.call_hook('before_train_epoch')
        if 0 < self._iter:
            print_log(f'continue at iteration {self._iter} of {self._max_iters}', logger='current')
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.run_iter(next(batches))
        method.recorder.clear()  # the record of the last step, which hooks had asked for
        # the text is empty where every file could be read
        if is_main_process() and (text := bad_samples_summary(self.runner.work_dir)):
            print_log(text, logger='current', level=logging.WARNING)
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _prepare(self) -> BaseModel:
        """Check everything that can be found out before the first iteration, and get the method
        ready; returns it. All problems are raised as one error.
        """
        if isinstance(self.runner.model, torch.nn.parallel.DistributedDataParallel):
            raise ValueError('a method with several passes cannot train under torch DDP: set '
                             "model_wrapper_cfg=dict(type='MethodDistributedWrapper'), or "
                             "runner_type='UDARunner'")
        method = method_of(self.runner)
        check_method(method)
        method.new_classifier = False  # load_from is done: later checkpoints come with theirs
        # check() keeps an error and is False then: checks that build on a failed one do not run
        problems = Problems()
        if problems.check(check_streams, method, self.dataloader):
            problems.check(check_unlabeled, method, self.dataloader)
            problems.check(check_num_classes, method, self.dataloader)
            problems.check(check_ignore_index, method, self.dataloader, self.runner.val_loop)
            if self.preflight_samples > 0:
                check_images(problems, self.runner, method, self.dataloader)
                if problems.check(check_samples, method, self.dataloader, self.preflight_samples):
                    warn_padding(self.dataloader)
                    problems.check(check_labels, method, self.dataloader)
                    problems.check(check_float_images, self.dataloader, self.preflight_samples)
                    problems.check(check_ignored_labels, method, self.dataloader,
                                   self.preflight_samples)
                    problems.check(check_batch_norm, method, self.dataloader)
        problems.check(check_engine, self.runner, method)
        problems.raise_all()
        method.before_training()
        if self.cached_features is not None:
            streams = streams_of(self.dataloader, self._stream_configs)
            self.cached_features.prepare(method, streams, self.runner.cfg.model.network)
        self.finite.prepare()
        compile_networks(method, self.compile)
        keep_freed_memory(method)
        return method

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """Endless: the micro-batches ``{stream: batch}`` of each iteration from the current on."""
        streams = {}
        for name, loader in self.dataloader.items():
            # a resumed run may have another seed
            loader.sampler.seed = stream_seed(self.runner.seed, name)
            # in samples of this process: those of the iterations that are done
            loader.sampler.set_position(self._iter * loader.batch_size * self.accumulate)
            streams[name] = iter(loader)
        while True:
            yield [{name: next(stream)
                    for name, stream in streams.items()} for _ in range(self.accumulate)]

    def run_iter(self, batches: list[dict[str, Any]]) -> None:
        """One iteration: hooks, step, and what is due afterwards. ``batches`` are its
        micro-batches; hooks and method get a single one without the list.
        """
        runner, context = self.runner, StepContext(self.runner.seed, get_rank(), self._iter,
                                                   self._max_iters)
        data = batches[0] if len(batches) == 1 else batches
        runner.model.train()
        seed_everything(context.derive('hooks'))  # the same numbers for hooks in a resumed run
        runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data)
        with accuracies(self._accuracy_is_shown()):
            outputs = runner.model.train_step(data, optim_wrapper=runner.optim_wrapper,
                                              context=context, watch=self.finite.watch)
        due = self.state_is_due()
        if due:
            self._share_buffers()
            check_optimizer(runner.model, runner.optim_wrapper)
        self.finite.after_step(due)
        runner.call_hook('after_train_iter', batch_idx=self._iter, data_batch=data, outputs=outputs)
        validate = self._validation_due()  # asked before this iteration counts as done
        self._iter += 1
        if self.epoch_length:
            self._epoch = self._iter // self.epoch_length
        if validate:
            runner.val_loop.run()
        runner.call_hook('after_iteration')  # DomainCheckpointHook saves here

    def _accuracy_is_shown(self) -> bool:
        """Whether to compute accuracies in this iteration: only where mmengine's LoggerHook, which
        shows their latest values, logs (every ``interval`` iterations, at ``len(dataloader)`` and
        at the end), and in the first iteration of a process, which sets their place in the log.
        """
        custom = getattr(self.runner.log_processor, 'custom_cfg', None)  # may average over them
        self._first_iter = getattr(self, '_first_iter', self._iter)
        done = self._iter + 1
        # finite.interval: the shortest interval of the run's LoggerHooks
        return bool(custom) or self._iter == self._first_iter or done == self._max_iters \
            or done % len(self.dataloader) == 0 or done % self.finite.interval == 0

    def state_is_due(self) -> bool:
        """Whether the iteration that is about to end is validated or saved."""
        return self._validation_due() or self._checkpoint_due()

    def _validation_due(self) -> bool:
        """Whether to validate after this iteration."""
        done = self._iter + 1
        return self.runner.val_loop is not None and done >= self.val_begin and (
            done % self.val_interval == 0 or done == self._max_iters)

    def _checkpoint_due(self) -> bool:
        """Whether a hook saves a checkpoint after this iteration."""
        return any(
            hook.will_save(self.runner) for hook in self.runner.hooks
            if isinstance(hook, DomainCheckpointHook))

    def _share_buffers(self) -> None:
        """Average BatchNorm statistics over processes, before they are judged or saved."""
        share_buffers(self.runner.model)


def stream_seed(seed: int, name: str) -> int:
    """The seed of a stream's sampler: streams must not share augmentation draws."""
    return derive_seed(seed, 'stream', name)


def check_config(runner: Runner, configs: dict[str, dict], samples: int, length: dict) -> None:
    """Refuse a config with everything that is wrong with it, as one error.

    Where the config alone is wrong, samples of the sound streams are loaded too, so that the same
    error has their faults; else they are looked at later, by :meth:`MultiStreamTrainLoop._prepare`.

    Args:
        runner: The runner.
        configs: Dataloader configs by stream.
        samples: ``preflight_samples`` of :class:`MultiStreamTrainLoop`.
        length: Its arguments ``max_iters``, ``max_epochs`` and ``accumulate``.
    """
    method = method_of(runner)
    configs = named_streams(configs)
    problems = config_problems(runner, method, configs, length)
    if problems.errors and isinstance(method, BaseMethod):
        for name, config in configs.items():
            if name not in problems.broken_streams:
                problems.check(partial(_check_stream, runner, method, name, config, samples))
        problems.check(method.before_training)  # the method's own last checks
    problems.raise_all()


def _check_stream(runner: Any, method: Any, name: str, config: dict, samples: int) -> None:
    """Build one stream alone and look at some of its samples."""
    check_samples(method, NamedLoaders(build_streams(runner, {name: config})), samples)


def named_streams(configs: dict[str, dict]) -> dict[str, dict]:
    """The streams of ``train_dataloader`` that are switched on.

    Raises:
        ValueError: ``configs`` is one plain dataloader.
    """
    if not isinstance(configs, dict) or 'dataset' in configs or 'batch_size' in configs:
        raise ValueError('MultiStreamTrainLoop needs named streams: train_dataloader = '
                         'dict(source=dict(batch_size=..., dataset=...), target=dict(...))')
    # a child may switch one off
    return {name: config for name, config in configs.items() if config is not None}


def build_streams(runner: Runner, configs: dict[str, dict],
                  on_bad_sample: str = 'stop') -> dict[str, Any]:
    """Dataloaders of all streams: datasets wrapped in ``SeededDataset``, endless samplers, own
    generators.

    Raises:
        ValueError: ``configs`` is one plain dataloader, or a stream has no dataset.
    """
    loaders = {}
    configs = named_streams(configs)
    problems = Problems()
    for name, config in configs.items():
        problems.check(check_stream_config, name, config)
    problems.raise_all()
    for name, config in configs.items():
        config = copy.deepcopy(config)
        config['dataset'] = dict(type='SeededDataset', dataset=config['dataset'],
                                 on_bad_sample=on_bad_sample, name=name, work_dir=runner.work_dir)
        config.setdefault('sampler', dict(type='StatefulInfiniteSampler'))
        config.setdefault('batch_size', 1)
        if config.setdefault('num_workers', 0) == 0:
            config['persistent_workers'] = False  # torch refuses them without workers
        seed = stream_seed(runner.seed, name)
        config['generator'] = torch.Generator().manual_seed(seed)
        try:
            loaders[name] = runner.build_dataloader(config, seed=seed, diff_rank_seed=False)
        except Exception as error:
            if not _accepts_text(error):
                raise
            raise type(error)(f'stream "{name}": {error}') from error
        if not isinstance(loaders[name].sampler, StatelessSampler):
            raise ValueError(f'stream "{name}" uses {type(loaders[name].sampler).__name__}, which '
                             'cannot jump to a draw: use StatefulInfiniteSampler or '
                             'RareClassSampler')
    return loaders


def _accepts_text(error: Exception) -> bool:
    """Whether such an error can be made from a message alone (a ``UnicodeDecodeError`` cannot)."""
    return type(error) in (ValueError, FileNotFoundError, KeyError, TypeError, OSError,
                           NotADirectoryError, RuntimeError)
