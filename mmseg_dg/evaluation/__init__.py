"""Scores per domain and per class, and the reports made of them."""
from .bias import ClassBiasMetric, bias_scores, frequency_groups
from .class_maps import LEFT_OUT, resolve_label_map, resolve_subset
from .confusion import Scores, confusion_matrix, map_classes, named_scores, scores
from .confusion_metric import ConfusionMatrixMetric
from .denoising_metric import DenoisingMetric
from .domain_evaluators import DomainEvaluators, build_domain_evaluators
from .log_processor import DomainLogProcessor
from .report import DomainReport, EvaluationReport, markdown_table, write_report

__all__ = [
    'ClassBiasMetric', 'ConfusionMatrixMetric', 'DenoisingMetric', 'DomainEvaluators', 'DomainLogProcessor',
    'DomainReport', 'EvaluationReport', 'LEFT_OUT', 'Scores', 'bias_scores', 'build_domain_evaluators',
    'confusion_matrix', 'frequency_groups', 'map_classes', 'markdown_table', 'named_scores', 'resolve_label_map',
    'resolve_subset', 'scores', 'write_report'
]
