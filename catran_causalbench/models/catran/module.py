"""CaTran's module as the paper describes it (§1.3): the readable reference implementation.

It holds the whole tensor of cells × genes × channels; :mod:`catran_causalbench.models.catran.factored_module` computes
the same function of the same parameters without it.
"""

from __future__ import annotations

import torch
from torch import nn


class CatranModule(nn.Module):
    """Predict the expression of every gene from the expression of all genes through attention.

    Parameters
    ----------
    num_genes, embedding_size
        Genes with an embedding, G, and the length d of each; 40 in the paper.
    token
        How expression is combined with the embedding: ``joined`` (as one more channel, the form whose parameter count
        is the paper's 9,000 + 40·G) or ``added`` (to each channel).
    generator
        Source of the initial weights, N(0, ``initial_deviation``²), 0.001² in §1.2; biases start at zero.
    directed
        Whether sources have a projection of their own (keys), beside that of the targets (queries). With one projection
        for both, as in the paper, the scores of a pair are the same in both directions.
    self_attention
        Whether a gene attends to itself.
    signs
        G × G of −1, 0 and 1, target × source: the signs with which attention mixes the genes; 1 by default.
    """

    signs: torch.Tensor | None

    def __init__(
        self,
        num_genes: int,
        embedding_size: int = 40,
        token: str = "joined",
        generator: torch.Generator | None = None,
        initial_deviation: float = 0.001,
        directed: bool = False,
        self_attention: bool = True,
        signs: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        channels = embedding_size + 1 if token == "joined" else embedding_size
        self.token = token
        self.self_attention = self_attention
        self.register_buffer("signs", signs, persistent=False)
        self.embedding = nn.Embedding(num_genes, embedding_size)
        self.attention_projection = nn.Linear(embedding_size, embedding_size)
        self.token_linear_1 = nn.Linear(channels, channels)
        self.token_norm_1 = nn.BatchNorm1d(channels)
        self.token_linear_2 = nn.Linear(channels, channels)
        self.token_norm_2 = nn.BatchNorm1d(channels)
        self.mixed_norm = nn.BatchNorm1d(channels)
        self.mixed_linear = nn.Linear(channels, channels)
        self.activation_norm = nn.BatchNorm1d(channels)
        self.output_linear_1 = nn.Linear(channels, channels)
        self.output_linear_2 = nn.Linear(channels, 1)
        self.key_projection = nn.Linear(embedding_size, embedding_size) if directed else None
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=initial_deviation, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def attention(self, genes: torch.Tensor) -> torch.Tensor:
        """Return the soft adjacency among some genes, n × n: row = target, column = source, every row sums to 1."""
        query, key = self._query_and_key(self.embedding(genes))
        scores = self._without_self(query @ key.T, torch.arange(len(genes), device=genes.device))
        # In float64 on a CPU, where torch's rounding of a gradient in float32 depends on the number of threads.
        precision = torch.float64 if scores.device.type == "cpu" else scores.dtype
        return torch.softmax(scores, dim=1, dtype=precision).to(scores.dtype)

    def attention_rows(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the attention of some targets on all G genes (§1.5), targets × G; every row sums to 1."""
        query, key = self._query_and_key(self.embedding.weight)
        return torch.softmax(self._without_self(query[targets] @ key.T, targets), dim=1)

    def mixing_weights(self, attention: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
        """Return the weights with which the genes are mixed, n × n: attention, with the signs of the pairs if given."""
        return attention if self.signs is None else attention * self.signs[genes][:, genes]

    def _query_and_key(self, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        query = self.attention_projection(embedding)
        return query, query if self.key_projection is None else self.key_projection(embedding)

    def _without_self(self, scores: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Forbid each target (row) its own column, unless genes attend to themselves."""
        if self.self_attention:
            return scores
        return scores.masked_fill(own[:, None] == torch.arange(scores.shape[1], device=scores.device), -torch.inf)

    def forward(self, expression: torch.Tensor, genes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict expression.

        Parameters
        ----------
        expression
            B × n, the (masked) expression of n genes in B cells.
        genes
            n indices into the embedding.

        Returns
        -------
        prediction, attention
            B × n, on the scale of the input; n × n, target × source.
        """
        attention = self.attention(genes)
        hidden = self._tokens(expression, self.embedding(genes))  # B × n × channels, as all that follow
        hidden = _over_channels(self.token_norm_1, self.token_linear_1(hidden))
        hidden = _over_channels(self.token_norm_2, self.token_linear_2(hidden))
        hidden = torch.einsum("lg,bgk->blk", self.mixing_weights(attention, genes), hidden)
        hidden = _over_channels(self.mixed_norm, hidden)
        hidden = _over_channels(self.activation_norm, self.mixed_linear(hidden))
        hidden = nn.functional.silu(hidden)
        return self.output_linear_2(self.output_linear_1(hidden)).squeeze(-1), attention

    def _tokens(self, expression: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Join expression (B × n) and embedding (n × d) to B × n × channels."""
        if self.token == "joined":
            return torch.cat([expression.unsqueeze(-1), embedding.expand(len(expression), -1, -1)], dim=-1)
        return expression.unsqueeze(-1) + embedding


def _over_channels(norm: nn.BatchNorm1d, hidden: torch.Tensor) -> torch.Tensor:
    """Apply a batch norm of the channels over cells and genes together."""
    return norm(hidden.flatten(0, 1)).view_as(hidden)
