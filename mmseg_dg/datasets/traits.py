"""What a dataset of any library says about itself, with a value where it says nothing.

Datasets of mmengine, MMSegmentation, MMPretrain and torch reach this package; which attributes they
have differs. Here, and only here, it is written down what is read of them and what an absent
attribute means.
"""
from typing import Any, Optional

from .label_tables import IGNORE


class DatasetTraits:
    """A dataset as this package sees it; nothing is kept, the dataset is asked each time.

    "It" in the descriptions of the properties is the dataset.

    Args:
        dataset: Of any class.
    """
    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def _said(self, name: str, otherwise: Any = None) -> Any:
        """The dataset's attribute ``name``, or ``otherwise`` where it has none."""
        return getattr(self.dataset, name, otherwise)

    # ------------------------------------------------------------------ classes and labels
    @property
    def metainfo(self) -> dict:
        """Classes, palette and more, as mmengine's datasets have it; empty for torch's datasets."""
        return dict(self._said('metainfo') or {})

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their ids; empty where they have none."""
        return tuple(self.metainfo.get('classes') or ())

    @property
    def ignore_index(self) -> int:
        """Label id that is no class, of MMSegmentation's datasets; 255 for others."""
        return self._said('ignore_index', IGNORE)

    @property
    def own_ignore_index(self) -> Optional[int]:
        """As :attr:`ignore_index`, but None where the dataset has none."""
        return self._said('ignore_index')

    @property
    def reduce_zero_label(self) -> bool:
        """Whether 0 of the label files is ignored and the other ids move down."""
        return bool(self._said('reduce_zero_label', False))

    @property
    def id_map(self) -> dict[int, int]:
        """Id in the label files -> class index or 255, as ``FolderDataset(label_map=...)`` was
        given; empty for others.
        """
        return dict(self._said('id_map') or {})

    # ------------------------------------------------------------------ files
    @property
    def describes_samples(self) -> bool:
        """Whether ``get_data_info(index)`` tells the paths of a sample."""
        return self._said('get_data_info') is not None

    @property
    def pairs_files(self) -> bool:
        """Whether it finds a label for each image by folders and endings, as MMSegmentation's
        ``BaseSegDataset`` does (which has ``seg_map_suffix``).
        """
        return self._said('seg_map_suffix') is not None

    @property
    def data_prefix(self) -> dict[str, str]:
        """Folders by kind (``img_path``, ``seg_map_path``); empty for generated data."""
        prefix = self._said('data_prefix')
        return dict(prefix) if isinstance(prefix, dict) else {}

    @property
    def image_folder(self) -> str:
        """Folder of the images; empty where it does not say."""
        return self.data_prefix.get('img_path') or ''

    @property
    def img_suffix(self) -> Any:
        """Ending(s) of the image files; empty where it does not say."""
        return self._said('img_suffix') or ''

    def suffix(self, key: str, otherwise: Any) -> Any:
        """Its ``img_suffix`` or ``seg_map_suffix`` (``key``); ``otherwise`` where it has none."""
        return self._said(key, otherwise)

    @property
    def ann_file(self) -> str:
        """List of its samples; empty for all of a folder."""
        return self._said('ann_file') or ''

    @property
    def backend_args(self) -> Optional[dict]:
        """mmengine's file backend; None for local files."""
        return self._said('backend_args')

    @property
    def left_out(self) -> int:
        """Number of images it leaves out as unusable (``GTADataset``); 0 for others."""
        return self._said('left_out', 0)

    @property
    def checks_itself(self) -> bool:
        """Whether its ``full_init`` refuses or makes missing files itself (most datasets of this
        package), so that :func:`~.checks.check_leaf` need not look for them.
        """
        return bool(self._said('checks_itself', False))

    @property
    def renders_files(self) -> bool:
        """Whether it makes files that are not there (``SynthCityDataset``), so that a damaged one
        may be deleted; False for data of a user.
        """
        return bool(self._said('renders_files', False))

    # ------------------------------------------------------------------ pipeline
    @property
    def pipeline(self) -> Any:
        """Its transforms: mmengine's ``Compose``, another callable, or () where it has none."""
        pipeline = self._said('pipeline')
        return () if pipeline is None else pipeline

    @property
    def max_refetch(self) -> int:
        """How often another sample is tried where the pipeline gives None (mmengine's); else 0."""
        return self._said('max_refetch', 0)

    def load_list(self) -> None:
        """Read the list of samples, if that was put off (mmengine's ``lazy_init``)."""
        load = self._said('full_init')
        if load is not None:
            load()

    # ------------------------------------------------------------------ wrappers
    @property
    def parts(self) -> Optional[list]:
        """The datasets of a concatenation (attribute ``datasets``); None for others."""
        return self._said('datasets')

    @property
    def inner(self) -> Any:
        """The dataset inside a wrapper around one (attribute ``dataset``); None for others."""
        return self._said('dataset')

    @property
    def indices(self) -> Any:
        """Of torch's ``Subset``: the samples of the inner dataset it has; None for others."""
        return self._said('indices')

    @property
    def original_index(self) -> Any:
        """Of mmengine's wrappers a function: index of a sample -> its index in the inner dataset,
        or, of a concatenation, (position among ``parts``, index there); None for others.
        """
        return self._said('_get_ori_dataset_idx')

    @property
    def is_transparent(self) -> bool:
        """Whether it hands on the samples of the inner dataset in order, as ``SeededDataset``."""
        return bool(self._said('is_transparent', False))


def traits(dataset: Any) -> DatasetTraits:
    """Short for :class:`DatasetTraits`."""
    return DatasetTraits(dataset)
