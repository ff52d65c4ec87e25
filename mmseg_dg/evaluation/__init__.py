"""Scores per domain and per class, and the reports made of them."""
from .bias import ClassBiasMetric, bias_scores, frequency_groups
from .calibration import calibration_error, confidence_histogram, risk_coverage
from .calibration_metric import CalibrationMetric
from .class_maps import LEFT_OUT, resolve_label_map, resolve_subset
from .confusion import Scores, confusion_matrix, map_classes, named_scores, scores
from .confusion_metric import ConfusionMatrixMetric
from .denoising_metric import DenoisingMetric
from .domain_evaluators import DomainEvaluators, build_domain_evaluators
from .drives import DriveMetric, Drives, bootstrap_difference
from .label_free import ImageStatistics, image_statistics, label_free_scores, neighborhood_density
from .label_free_metric import LabelFreeMetric
from .log_processor import DomainLogProcessor
from .report import DomainReport, EvaluationReport, markdown_table, write_report

__all__ = [
    'CalibrationMetric', 'ClassBiasMetric', 'ConfusionMatrixMetric', 'DenoisingMetric',
    'DomainEvaluators', 'DomainLogProcessor', 'DomainReport', 'DriveMetric', 'Drives',
    'EvaluationReport', 'ImageStatistics', 'LEFT_OUT', 'LabelFreeMetric', 'Scores', 'bias_scores',
    'bootstrap_difference', 'build_domain_evaluators', 'calibration_error', 'confidence_histogram',
    'confusion_matrix', 'frequency_groups', 'image_statistics', 'label_free_scores', 'map_classes',
    'markdown_table', 'named_scores', 'neighborhood_density', 'resolve_label_map', 'resolve_subset',
    'risk_coverage', 'scores', 'write_report'
]
