"""Settings of the model ``catran`` (paper §1.2 to §1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.errors import InputError
from catran_causalbench.utils.validation import Validated, choice, number


@dataclass(frozen=True)
class CatranSettings(Validated):
    """The defaults are CaTran as its paper describes it; the preset ``catran`` changes them.

    Attributes
    ----------
    implementation
        ``factored``: the exact fast form; ``reference``: the same function, written as in the paper (§1.3).
    embedding_size
        Length of a gene's embedding.
    token
        ``joined``: expression is one more channel beside the embedding; ``added``: it is added to every channel.
    epochs
        Passes over the cells.
    cells_per_minibatch, genes_per_minibatch
        Size of a minibatch; all cells or genes where there are fewer.
    learning_rate, weight_decay
        Of Lion; the decay is multiplied by the learning rate, as in its paper.
    learning_rate_schedule
        ``constant``, or ``linear``: the learning rate falls to 0 over all steps. Lion moves every weight by the
        learning rate in each step, so that at a constant rate no weight comes to rest.
    masked_fraction
        Share of the genes that are masked in every cell, rounded down to a whole number of genes.
    masking
        ``shuffle_within_cell``: masked values are shuffled among the masked genes of their cell;
        ``shuffle_within_minibatch``: among the masked entries of all cells; ``zero``: they become 0.
    masked_weight, unmasked_weight
        Weights of the Huber losses of masked and of unmasked entries.
    interventional_weight
        λ, the weight of the distance between attention and gene importances. The paper gives no value.
    importance_gradient
        Whether the importances have gradients ("differentiable gene importance test"), or only the attention has.
    steps
        Minibatches to train on, in place of ``epochs``. Where a pass has fewer, they are rounded up to whole passes;
        where it has more, it ends early.
    standardise
        Whether every gene is centred at its mean in controls and scaled to a standard deviation of 1 within labels.
    initial_deviation
        Standard deviation of the initial weights.
    self_attention
        Whether a gene attends to itself.
    directed
        Whether genes have a projection of their own as sources (keys). With one projection for targets and sources the
        dot product of a pair is the same in both directions.
    signed_mixing
        Whether a source is mixed in with the sign of its correlation with the target within labels. With positive
        weights alone, activators and repressors of a target cannot both be used.
    predict_perturbed
        Whether the prediction of a gene counts in the cells in which this gene itself is perturbed.
    importance
        ``error_ratio``: importances are ratios of prediction errors in the minibatch, and the interventional loss is
        attention's Huber distance from them (§1.4); ``effects``: they are perturbation effects in all training cells,
        adaptively shrunk, or squared correlations where the source is not perturbed, and the loss is the
        cross-entropy of attention.
    edge_weight
        ``attention`` itself (§1.5), or ``expected_effect``: attention times the scale of the target, for standardised
        genes.
    """

    section: ClassVar[str] = "catran"

    implementation: str = choice("factored", "reference")
    embedding_size: int = number(40, 1, 4096)
    token: str = choice("joined", "added")
    epochs: int = number(25, 1)
    cells_per_minibatch: int = number(2048, 2)
    genes_per_minibatch: int = number(500, 2, 2**14)
    learning_rate: float = number(0.001, 0, 1, above_low=True)
    weight_decay: float = number(0.05, 0, 100)
    masked_fraction: float = number(0.8, 0, 1)
    masking: str = choice("shuffle_within_cell", "shuffle_within_minibatch", "zero")
    masked_weight: float = number(0.7, 0)
    unmasked_weight: float = number(0.3, 0)
    interventional_weight: float = number(1.0, 0)
    importance_gradient: bool = True
    steps: int | None = number(None, 1)
    learning_rate_schedule: str = choice("constant", "linear")
    standardise: bool = False
    initial_deviation: float = number(0.001, 0, 10, above_low=True)
    self_attention: bool = True
    directed: bool = False
    signed_mixing: bool = False
    predict_perturbed: bool = True
    importance: str = choice("error_ratio", "effects")
    edge_weight: str = choice("attention", "expected_effect")

    def __post_init__(self) -> None:
        """Check every field, and that expected effects are read from standardised genes."""
        super().__post_init__()
        if self.edge_weight == "expected_effect" and not self.standardise:
            found = "'expected_effect' of genes that are not standardised"
            raise InputError.of("catran.edge_weight", found, "'attention', or catran.standardise: true")

    @property
    def uses_statistics(self) -> bool:
        """Whether anything is measured in all training cells; the paper's model sees minibatches only."""
        return self.standardise or self.signed_mixing or self.importance == "effects"

    def steps_per_epoch(self, num_cells: int) -> int:
        """Return the number of whole minibatches in a pass over the cells, or ``steps`` if those are fewer."""
        whole = num_cells // min(self.cells_per_minibatch, num_cells)
        return whole if self.steps is None else min(whole, self.steps)
