"""Makes every training sample a pure function of its request, whatever process loads it."""
from typing import Any, Optional, Union

import numpy as np
import torch
from torch.utils.data import Dataset

from mmseg_dg.registry import DATASETS
from mmseg_dg.utils.seeding import local_seed

from .bad_samples import BadSampleError, BadSamples, blame, check_whole
from .checks import build_checked, check_leaf, loads_labels
from .messages import wrong_ids_message
from .samplers.request import SampleRequest
from .stored_views import StoredViews
from .traits import traits
from .wrappers import leaves, locate, steps_of


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Wraps a training dataset; the only one that understands :class:`SampleRequest`.

    For a request it seeds python's, numpy's and torch's generators, puts ``wanted_class`` and
    ``wanted_point`` into the sample's info, runs the pipeline of the innermost dataset and restores
    the caller's generators. A plain integer works too and seeds nothing. A pipeline that returns
    None is tried again with other images of the same dataset, chosen from the seed.

    Wrappers that build a sample of several images by themselves (mmseg's ``MultiImageMixDataset``)
    are seeded as a whole; ``wanted_class`` does not reach their crops.

    Args:
        dataset: Config or instance: a ``BaseDataset`` of mmseg, mmpretrain or ours, or a wrapper
            around some.
        check_labels: Refuse samples whose label has ids other than the classes and
            ``ignore_index``.
        on_bad_sample: What follows a file that is gone, empty, cut off or damaged, after it was
            tried three times: ``'stop'``, or ``'skip'``: another sample takes its place, chosen by
            the request alone.
        name: Of the stream, for messages.
        work_dir: Where ``bad_samples.csv`` lists what was left out; None: nowhere.

    Attributes:
        stored: Encoded views that take the place of the pipeline (``train_cfg.cached_features``),
            or None.

    Raises:
        FileNotFoundError: A folder or file is missing (message names it and the fix).
        ValueError: The dataset is empty; on access: label ids outside the classes.
        BadSampleError: On access: a file that cannot be read, named.
    """
    #: Sample i of the wrapper is sample i inside: :func:`~.wrappers.locate` looks through it.
    is_transparent = True

    def __init__(self, dataset: Union[dict, Dataset], check_labels: bool = True,
                 on_bad_sample: str = 'stop', name: str = '',
                 work_dir: Optional[str] = None) -> None:
        self.bad_samples = BadSamples(on_bad_sample, name, work_dir)
        self.dataset: Any = build_checked(dataset) if isinstance(dataset, dict) else dataset
        self.check_labels = check_labels
        self.stored: Optional[StoredViews] = None
        for leaf in leaves(self.dataset):
            check_leaf(leaf)

    @property
    def metainfo(self) -> dict:
        """Of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the wrapped dataset's file list if that was put off (``lazy_init`` of mmengine)."""
        traits(self.dataset).load_list()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: Union[int, SampleRequest]) -> Any:
        """The sample of a request; of a plain index without seeding or replacing anything."""
        if not isinstance(request, SampleRequest):
            return self._checked(self.dataset[request], int(request))
        if self.stored is not None:
            return self._view(self.stored, request)
        return self.load(request)[0]

    def load(self, request: SampleRequest) -> tuple[Any, SampleRequest]:
        """The sample of a request as its pipeline gives it, and the request that was met: another
        one in place of a file that cannot be read (``on_bad_sample='skip'``).
        """
        tried = [request]

        def sample(chosen: SampleRequest) -> Any:
            """The sample of the request, or of one that replaces it."""
            tried.append(chosen)
            return self._sample(chosen)

        return self.bad_samples.load(sample, request, len(self)), tried[-1]

    def _view(self, stored: StoredViews, request: SampleRequest) -> dict:
        """A stored view; one that shows another image, because the file could not be read when it
        was encoded, is listed as such whenever it is drawn.
        """
        sample = stored.sample(request)
        if sample['data_samples'].metainfo['cached_image'] != request.index:
            error = BadSampleError(file=stored.index['images'][request.index], message='',
                                   reason='it could not be read when it was encoded')
            self.bad_samples._note(error, sample, request)
        return sample

    def _sample(self, request: SampleRequest) -> Any:
        """One sample, loaded under the request's seed and checked; BadSampleError where a file of
        it cannot be read.
        """
        with local_seed(request.seed):
            return self._checked(self._load(request), request.index)

    def _load(self, request: SampleRequest) -> Any:
        """Run the pipeline with what the request wants; where it gives None, another image is
        drawn, as mmengine does.
        """
        leaf, index = locate(self.dataset, request.index)  # the innermost dataset, and place in it
        described = traits(leaf)
        # a dataset of another kind cannot be told what the sample should show
        if not described.describes_samples or not callable(described.pipeline):
            return leaf[index]
        for _ in range(described.max_refetch + 1):  # mmengine's limit
            info = leaf.get_data_info(index)
            if request.wanted_class is not None:
                info['wanted_class'] = request.wanted_class
            if request.wanted_point is not None:
                info['wanted_point'] = request.wanted_point
            sample = _run_pipeline(leaf, info)
            if sample is not None:
                return sample
            index = int(np.random.randint(len(leaf)))  # seeded by the request
        raise ValueError(f'{type(leaf).__name__}: the pipeline returned None for '
                         f'{described.max_refetch + 1} images in a row, the last one '
                         f'{info.get("img_path", index)}; check the images and the pipeline')

    def _checked(self, sample: Any, index: int) -> Any:
        """The sample as it is; ValueError where its label has ids outside the classes.

        Samples without a packed label (``gt_sem_seg``) and datasets without class names pass, as
        everything does with ``check_labels=False``. ``index`` is the sample's in the whole dataset.
        """
        data_sample = None
        if self.check_labels and isinstance(sample, dict):
            data_sample = sample.get('data_samples')
        if data_sample is None or 'gt_sem_seg' not in data_sample:
            return sample
        leaf, _ = locate(self.dataset, index)
        described = traits(leaf)
        classes = described.classes
        if classes:
            labels = data_sample.gt_sem_seg.data
            ignore = described.ignore_index
            wrong = _ids_outside(labels, len(classes), ignore)
            if wrong:
                path = data_sample.metainfo.get('seg_map_path') or data_sample.metainfo.get(
                    'img_path', f'#{index}')
                raise ValueError(wrong_ids_message({path: wrong}, len(classes), ignore))
        return sample


def _run_pipeline(leaf: Any, info: dict) -> Any:
    """A dataset's pipeline on one sample.

    Args:
        leaf: Dataset, no wrapper.
        info: What its ``get_data_info`` gave for the sample.

    Raises:
        BadSampleError: One of its files cannot be read; another error of the pipeline comes through
            as it is.
    """
    described = traits(leaf)
    backend_args = described.backend_args
    # a pipeline that is no list of transforms may load labels: it counts as one that does
    labeled = not steps_of(leaf.pipeline) or loads_labels(leaf.pipeline)
    hint = 'Delete it: it is rendered again at the next start' if described.renders_files else ''
    # kept apart for blame below: transforms may change the info
    files = {key: info.get(key) for key in ('img_path', 'seg_map_path')}
    check_whole(files, labeled, backend_args, hint)  # a decoder may fill what is cut off with gray
    try:
        return leaf.pipeline(info)
    except Exception as error:
        blame(files, labeled, error, backend_args, hint)  # raises where a file is the cause
        raise


def _ids_outside(labels: torch.Tensor, num_classes: int, ignore_index: int) -> list[int]:
    """Ids in labels (a tensor of any shape) that are no class and not the ignored one, ascending.
    """
    outside = (labels >= num_classes) | (labels < 0)
    if not outside.any():  # the usual case without ignored pixels
        return []
    ids = labels[outside]
    wrong = ids[ids != ignore_index]
    return torch.unique(wrong).tolist() if wrong.numel() else []
