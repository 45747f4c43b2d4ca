"""Settings of the model ``catran`` (paper §1.2 to §1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catran_causalbench.utils.validation import Validated, choice, number


@dataclass(frozen=True)
class CatranSettings(Validated):
    """CaTran as its paper describes it; the defaults are the paper's numbers.

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
