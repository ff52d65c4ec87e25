"""Which scores are better when they are less: one list for everything that ranks or judges."""

#: Names of such scores: uncertainty without labels, the errors of
#: :class:`mmseg_dg.evaluation.CalibrationMetric`, of which ``risk.<percent>`` is another, and the
#: loss of :class:`mmseg_dg.evaluation.DenoisingMetric`.
LESS_IS_BETTER = ('entropy', 'ECE', 'AURC', 'noise_loss')


def less_is_better(key: str) -> bool:
    """Whether less of a score is better.

    Args:
        key: ``'<domain>/<metric>'``, with or without the domain or a metric's prefix.
    """
    name = key.split('/')[-1]
    return name in LESS_IS_BETTER or name.startswith('risk.')
