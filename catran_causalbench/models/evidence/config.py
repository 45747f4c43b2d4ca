"""Settings of the model ``evidence``, and the names of what its gates see and weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.utils.validation import Validated, choices, number

# What a gate network gets to know of an ordered pair of genes, in the order of its inputs.
FEATURES = (
    "effect_score",
    "is_perturbed",
    "knockdown_depth",
    "target_deviation",
    "partial_score",
    "partial_correlation",
    "source_activity",
    "target_activity",
    "source_association",
    "target_association",
    "reverse_effect_score",
    "factor_adjusted",
)
# What the gates weigh, in the order of the sum.
TERMS = ("effect", "partial", "factor_adjusted")
# What counts beside the gates where a source was never perturbed.
SHARE = "share"


@dataclass(frozen=True)
class EvidenceSettings(Validated):
    """Settings of the gates and of their training.

    Attributes
    ----------
    folds
        Parts of the training cells; the effects in each are predicted from the statistics of all others.
    gates
        Number of gate networks, which are averaged. The perturbed sources are dealt to them, and each learns from those
        of the others, so that it can be calibrated on its own.
    width
        Hidden units of a gate network.
    prior_pairs
        Strength of the prior that all pairs have the same gates, as the number of pairs that would outweigh it, and of
        the noise that is added to the gates' inputs while they train: √(prior_pairs / number of pairs) times the
        inputs' spread.
    steps, pairs_per_minibatch, learning_rate, weight_decay
        Of the training by AdamW.
    disabled_features, disabled_terms
        Inputs of the gates out of :data:`FEATURES`, and terms of their sum out of :data:`TERMS` or :data:`SHARE`, to
        leave out in ablations.
    """

    section: ClassVar[str] = "evidence"

    folds: int = number(3, 2, 100)
    gates: int = number(3, 2, 100)
    width: int = number(24, 1, 4096)
    prior_pairs: float = number(1600.0, 0)
    steps: int = number(300, 1)
    pairs_per_minibatch: int = number(4096, 1)
    learning_rate: float = number(0.015, 0, 1, above_low=True)
    weight_decay: float = number(0.001, 0, 100)
    disabled_features: tuple[str, ...] = choices(*FEATURES)
    disabled_terms: tuple[str, ...] = choices(*TERMS, SHARE)
