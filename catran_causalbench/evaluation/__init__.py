"""Networks evaluated on held-out cells, against references and against the truth.

Edges are (source, target) tuples of gene names, best first, or two arrays of columns; `edge_columns` leads from the
first to the second. `evaluate_network` gives CausalBench's own numbers; the rest is what they leave open.
"""

from catran_causalbench.evaluation.causalbench_metrics import evaluate_network
from catran_causalbench.evaluation.edge_lists import edge_columns
from catran_causalbench.evaluation.ground_truth import (
    average_precision,
    effect_recovery,
    orientation_accuracy,
    precision,
    rank_scores,
    recovered_effect,
)
from catran_causalbench.evaluation.held_out import Comparison, HeldOutEvaluator
from catran_causalbench.evaluation.permutation_null import excess_wasserstein, null_wasserstein
from catran_causalbench.evaluation.ranked_metrics import (
    Omissions,
    false_omission_rate,
    mean_wasserstein,
    wasserstein_curve,
)
from catran_causalbench.evaluation.reachability import adjacency_matrix, path_closures, reachable
from catran_causalbench.evaluation.reference_network import ReferenceMetrics, reference_metrics

__all__ = [
    "Comparison",
    "HeldOutEvaluator",
    "Omissions",
    "ReferenceMetrics",
    "adjacency_matrix",
    "average_precision",
    "edge_columns",
    "effect_recovery",
    "evaluate_network",
    "excess_wasserstein",
    "false_omission_rate",
    "mean_wasserstein",
    "null_wasserstein",
    "orientation_accuracy",
    "path_closures",
    "precision",
    "rank_scores",
    "reachable",
    "recovered_effect",
    "reference_metrics",
    "wasserstein_curve",
]
