"""Training a head on a frozen encoder's maps, which are computed once:
``train_cfg.cached_features``.

Shapes: C channels.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmengine.logging import print_log

from mmseg_dg.datasets.samplers.infinite import StatelessSampler
from mmseg_dg.datasets.seeded import SeededDataset
from mmseg_dg.datasets.statistics.cache import user_cache
from mmseg_dg.datasets.stored_views import (
    FeatureCacheError,
    StoredViews,
    check_recipe,
    read_index,
)
from mmseg_dg.methods.encoded_views import check_encoded, variant_names, variant_settings
from mmseg_dg.models.backbones.encoder_options import EncoderOptions
from mmseg_dg.utils.options import check_options
from mmseg_dg.utils.run_lock import RunLock

from .feature_recipe import FORMAT, encoder_recipe, fingerprint, pictures, plain, state_digest
from .validation_maps import ValidationMaps
from .view_encoder import ViewEncoder, check_space

PRECISIONS = ('float16', 'float32')
_POLL = 1.0  # seconds between looks at what another process builds

# Two words of this file. A recipe: everything that stored features depend on, as JSON values. A
# variant: a picture made of a view (mixed, masked or strongly augmented) that is encoded besides.


class Stream(NamedTuple):
    """One stream whose images are encoded.

    Attributes:
        dataset: Loads pictures.
        batch_size: Of the stream, also for encoding.
        config: Its dataloader config.
        sampler: Draws of the labeled stream give the partners of mixed pictures; None where
            nothing is built.
    """

    dataset: SeededDataset
    batch_size: int
    config: Mapping
    sampler: Any = None


@dataclass(frozen=True)
class CachedFeatures:
    """The cheap mode: a frozen encoder sees a fixed number of views of each image once, methods
    train on its maps.

    ``train_cfg = dict(cached_features=dict(views=8))`` is all a config needs beside
    ``trainable='none'`` of the encoder. What is exact and what is not: docs/cached_features.md.

    Args:
        views: Drawn views of each image (crop, flip and whatever the stream's pipeline does).
        folder: Where the streams' features go, each in a folder of its name; another recipe there
            is an error, also of a build that was interrupted. None: below ``$MMSEG_DG_CACHE`` or
            ``~/.cache/mmseg_dg``, in a folder per fingerprint.
        mix: ``'maps'``: class mix and CutMix mix maps cell by cell, drawn anew in every step; not
            what the encoder gives of a mixed picture. ``'images'``: each target view is mixed once,
            before encoding (DACS), exactly.
        seed: Of the views. Not the run's, so that runs with other seeds share the features.
        precision: ``'float16'`` or ``'float32'``, of the maps on disk; steps compute in float32.
        validation: Keep the maps of validation images as well, as the encoder gives them: the same
            scores, and only the first evaluation of the first run asks the encoder.

    Raises:
        ValueError: Arguments without meaning.
    """

    views: int = 8
    folder: Optional[str] = None
    mix: str = 'maps'
    seed: int = 0
    precision: str = 'float16'
    validation: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.views, int) or isinstance(self.views, bool) or self.views < 1:
            raise ValueError(f'train_cfg.cached_features.views={self.views!r}: give a whole number '
                             'of views per image, at least 1')
        if self.precision not in PRECISIONS:
            raise ValueError(
                f'train_cfg.cached_features.precision={self.precision!r}: use one of {PRECISIONS}')

    @classmethod
    def from_arguments(cls, arguments: Optional[Mapping],
                       method: Any) -> Optional['CachedFeatures']:
        """The settings that ``train_cfg.cached_features`` gives, before any data is read; None
        where it is not set.

        Raises:
            ValueError: Arguments, or a method, that cannot be
                (:func:`mmseg_dg.methods.encoded_views.check_encoded`).
        """
        if arguments is None:
            return None
        check_options(cls, arguments, 'train_cfg.cached_features')
        settings = cls(**arguments)
        check_encoded(method, settings.mix)
        return settings

    # ------------------------------------------------------------------ before the first iteration
    def prepare(self, method: Any, streams: Mapping[str, Stream], network: Mapping) -> None:
        """Find or build the features of every stream and let its dataset give them.

        Args:
            method: With its weights loaded.
            streams: All streams of the run.
            network: Config of the method's network.

        Raises:
            FeatureCacheError: Features of something else in ``folder``, or damaged ones, or with
                images left out where the run does not skip such.
            OSError: Too little space for all streams, or it cannot be written.
        """
        for name, stream in streams.items():
            # a sampler that asks for a point to crop around needs pixels in every step; whether it
            # does shows in any draw, so draw 0 is asked
            sampler = stream.sampler
            if isinstance(sampler,
                          StatelessSampler) and sampler.request(0).wanted_point is not None:
                raise ValueError(
                    f'train_cfg.cached_features: stream "{name}" uses '
                    f'{type(stream.sampler).__name__}, which asks for crops around points, but '
                    'the views are drawn before: use RareClassSampler or StatefulInfiniteSampler')
        # ``stored`` of a SeededDataset: stored features that it gives instead of loading pictures
        for stream in streams.values():
            stream.dataset.stored = None  # the encoder below sees pixels
        places = self.places(method, streams, network)
        # before hours of encoding, not when the second stream's turn comes
        for folder, recipe in places.values():
            check_recipe(folder, recipe)
        encoders = {name: ViewEncoder(self, method, streams, name) for name in streams}
        ready = {name: self._ready(encoders, places, name) for name in places}
        # set only when all are ready: a mixed picture is made of both streams' own pictures
        for name, stored in ready.items():
            _check_left_out(name, stored, streams[name].dataset)
            streams[name].dataset.stored = stored
        if self.validation:
            self._keep_validation_maps(method, network)

    def validation_folder(self, method: Any, network: Mapping) -> Path:
        """Where the maps of validation images go; an encoder with other settings, weights or
        normalization has another folder.
        """
        root = (Path(user_cache(), 'features')
                if self.folder is None else Path(self.folder).expanduser())
        recipe = dict(encoder_recipe(method, network), format=FORMAT)
        # without ``precision``: these maps are kept as the encoder gives them; through JSON, as the
        # recipes of streams, where plain values have one text
        return root / 'validation' / fingerprint(json.loads(json.dumps(recipe, default=str)))

    def _keep_validation_maps(self, method: Any, network: Mapping) -> None:
        """Put :class:`ValidationMaps` before the student's encoder and its equals (a teacher's: an
        average of frozen tensors is the tensors)."""
        maps = ValidationMaps(self.validation_folder(method, network))
        student = state_digest(method.student.backbone)
        for encoder in method.modules():
            if (isinstance(encoder, EncoderOptions) and encoder.trainable == 'none'
                    and state_digest(encoder) == student):
                encoder.stored_maps = maps  # EncoderOptions asks these in place of its forward

    def places(self, method: Any, streams: Mapping[str, Stream],
               network: Mapping) -> dict[str, tuple[Path, dict]]:
        """``{stream name: (folder, recipe)}``; streams of equal recipes share the folder of the
        first.
        """
        encoder = encoder_recipe(method, network)
        recipes = {name: self._recipe(method, name, streams, encoder) for name in streams}
        places: dict[str, tuple[Path, dict]] = {}
        for name, recipe in recipes.items():
            shared = next((folder for folder, other in places.values() if other == recipe), None)
            separate = (Path(user_cache(), 'features', fingerprint(recipe))
                        if self.folder is None else Path(self.folder).expanduser() / name)
            places[name] = (shared or separate, recipe)
        return places

    def _recipe(self, method: Any, name: str, streams: Mapping[str, Stream],
                encoder: Mapping) -> dict:
        """Everything that a stream's features depend on, as plain JSON values."""
        variants = variant_names(method, name, self.mix)
        recipe = dict(
            encoder,
            format=FORMAT,
            **pictures(streams[name]),
            views=self.views,
            view_seed=self.seed,
            precision=self.precision,
            variants=variants,
        )
        if variants:  # drawn for a batch of views at once: its size changes them
            recipe.update(variant_settings(method, variants), group=streams[name].batch_size)
        if 'mixed' in variants:
            source = streams[method.source_stream]
            recipe['mixed_with'] = dict(pictures(source),
                                        sampler=plain(source.config.get('sampler')))
        # through JSON, as a later run will read it from the index: tuples become lists
        return json.loads(json.dumps(recipe, default=str))

    def _ready(self, encoders: Mapping[str, ViewEncoder], places: Mapping[str, tuple[Path, dict]],
               name: str) -> StoredViews:
        """The complete features of one stream at its place: read if they are there, else built by
        the process that gets the folder's lock, while others wait for it.
        """
        folder, recipe = places[name]
        waited = False  # whether another process was found building
        while True:
            if read_index(folder) is not None:
                stored = StoredViews(folder, recipe)
                print_log(
                    f'stream "{name}": cached features of {len(stored.index["images"])} images x '
                    f'{stored.views} views in {folder} (fingerprint {fingerprint(recipe)})',
                    logger='current',
                )
                return stored
            if not waited and int(os.environ.get('LOCAL_RANK', 0)):
                # the others give the first process of a machine time to take the lock, as it is the
                # one whose log is read
                time.sleep(_POLL)
            folder.mkdir(parents=True, exist_ok=True)
            lock = RunLock(folder)
            try:
                lock.acquire()
            except BlockingIOError:
                if not waited:
                    print_log(
                        f'stream "{name}": waiting for another process that encodes into {folder}',
                        logger='current',
                    )
                waited = True
                time.sleep(_POLL)
                continue
            try:
                # again, with the lock: another process may have finished since the look above
                if read_index(folder) is None:
                    for line in check_space(_unfinished(encoders, places)):
                        print_log(f'cached features: {line}', logger='current')
                    encoders[name].build(folder, recipe)
            finally:
                lock.release()

    # ------------------------------------------------------------------ for the doctor
    def describe(self, method: Any, streams: Mapping[str, Stream], network: Mapping) -> list[str]:
        """One line per stream: complete, still to be built (with its size), or of something else;
        what those to be built take together, where there are several; and one about the maps of
        validation images. Nothing is written."""
        lines = []
        unfinished: dict[Path, ViewEncoder] = {}
        places = self.places(method, streams, network)
        encoders = {name: ViewEncoder(self, method, streams, name) for name in streams}
        for name, (folder, recipe) in places.items():
            try:
                check_recipe(folder, recipe)
            except FeatureCacheError as error:
                lines.append(f'{name}: ERROR: {error}')
                continue
            if read_index(folder) is None:
                unfinished[folder] = encoders[name]
                lines.append(f'{name}: to be built; {encoders[name].plan().text(folder)}')
                continue
            # raises where files have other sizes than they should
            left_out = StoredViews(folder, recipe).left_out()
            size = sum(path.stat().st_size for path in folder.glob('*.npy'))
            lines.append(f'{name}: complete in {folder}, {size / 1e6:.1f} MB, fingerprint '
                         f'{fingerprint(recipe)}')
            if left_out:
                lines[-1] += f', {len(left_out)} images that could not be read are left out'
        try:
            lines += check_space(unfinished)
        except OSError as error:
            lines.append(f'ERROR: {error.strerror}')
        if self.validation:
            kept = self.validation_folder(method, network)
            files = list(kept.glob('*.npz'))
            size = sum(path.stat().st_size for path in files)
            lines.append(f'validation: maps of images kept: {len(files)} inputs, '
                         f'{size / 1e6:.1f} MB, in {kept}')
        return lines


def _unfinished(encoders: Mapping[str, ViewEncoder],
                places: Mapping[str, tuple[Path, dict]]) -> dict[Path, ViewEncoder]:
    """``{folder: encoder}`` of the streams whose features are not complete; of streams that share a
    folder, one.
    """
    return {
        folder: encoders[name]
        for name, (folder, _) in places.items() if read_index(folder) is None
    }


def _check_left_out(name: str, stored: StoredViews, dataset: SeededDataset) -> None:
    """Say which images of a stream the features lack, because they could not be read when they were
    encoded; FeatureCacheError where the run does not want such images replaced.
    """
    left_out = stored.left_out()
    if not left_out:
        return
    text = (f'stream "{name}": {len(left_out)} of {len(dataset)} images could not be read when '
            f'{stored.folder} was encoded, views of others stand for them (first: {left_out[0]}). '
            'Once they can be read, delete the folder; it is built again')
    if dataset.bad_samples.action == 'stop':
        raise FeatureCacheError(f"{text}; or set train_cfg.on_bad_sample='skip' to train without")
    print_log(text, logger='current', level=logging.WARNING)


def streams_of(loaders: Any, configs: Mapping[str, Mapping]) -> dict[str, Stream]:
    """The streams of built loaders with their configs.

    Args:
        loaders: ``NamedLoaders``, or a dict by name.
        configs: ``{name: dataloader config}``, with at least these names.
    """
    return {
        name: Stream(loader.dataset, loader.batch_size, configs[name], loader.sampler)
        for name, loader in loaders.items()
    }
