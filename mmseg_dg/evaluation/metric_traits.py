"""What the evaluation loops ask of a metric of any library, with an answer where it has none.

Metrics of MMSegmentation and of a user's own know none of this package's questions. Here, and only
here, it is written down what is read of them and what an absent attribute means.
"""
from collections.abc import Iterable
from typing import Any, Callable, Optional

from .confusion_metric import ConfusionMatrixMetric


class MetricTraits:
    """A metric as the loops of this package see it; nothing is kept, the metric is asked each time.

    Args:
        metric: Of any class.
    """
    def __init__(self, metric: Any) -> None:
        self.metric = metric

    def _said(self, name: str, otherwise: Any = None) -> Any:
        """The metric's attribute, or what its absence means."""
        return getattr(self.metric, name, otherwise)

    @property
    def format_only(self) -> bool:
        """It saves predictions and scores nothing."""
        return bool(self._said('format_only', False))

    @property
    def needs_labels(self) -> bool:
        """It scores against labels: unless it says so itself, a confusion matrix does."""
        needs = self._said('needs_labels', isinstance(self.metric, ConfusionMatrixMetric))
        return bool(needs) and not self.format_only

    @property
    def ignore_index(self) -> Optional[int]:
        """The id of pixels that do not count, of a metric that scores."""
        value = self._said('ignore_index')
        return value if isinstance(value, int) and not self.format_only else None

    @property
    def num_predicted(self) -> Optional[int]:
        """Classes a network must predict for it; None: those of the dataset."""
        return self._said('num_predicted')

    @property
    def scored_names(self) -> Optional[tuple[str, ...]]:
        """Classes it scores; None where it does not say."""
        return self._said('scored_names')

    @property
    def score_names(self) -> Optional[tuple[str, ...]]:
        """Names of its scores, of a metric that needs no labels; None of others."""
        return self._said('score_names')

    @property
    def note(self) -> str:
        """A sentence for the report."""
        return self._said('note') or ''

    @property
    def output_dir(self) -> Optional[str]:
        """Where it saves predictions; None: nowhere."""
        return self._said('output_dir') or None

    @property
    def names_images(self) -> bool:
        """Whether it takes ``image_names`` for what it saves."""
        return self._said('image_names') is not None

    @property
    def saves_few_ids(self) -> bool:
        """Whether it saves class ids in 8 bits, as MMSegmentation's metrics do."""
        return not isinstance(self.metric, ConfusionMatrixMetric) and bool(
            self._said('saves_ids', True))

    @property
    def prior_stream(self) -> Optional[str]:
        """The training stream whose classes it compares with; None without one."""
        stream = self._said('prior_of')
        return stream if isinstance(stream, str) else None

    def check_paths(self, paths: Callable[[], Iterable[str]]) -> None:
        """Call the metric's ``check_paths`` with the paths of a domain's images, if it has this
        method; ``paths()`` lists them and is called only then.
        """
        look = self._said('check_paths')
        if look is not None:
            look(paths())

    def use_run(self, runner: Any, predict: Any, domain: str) -> None:
        """Call the metric's ``use_run`` with the run, the function that predicts a batch and the
        domain, if it has this method: label-free scores predict again, counts by drive are written
        into the run's folder.
        """
        take = self._said('use_run')
        if take is not None:
            take(runner, predict, domain)
