"""Edge weights that can be compared between targets: attention times what it stands for."""

from __future__ import annotations

import torch
from torch import nn

from catran_causalbench.models.catran.importance import CellStatistics
from catran_causalbench.models.catran.module import CatranModule

_CELLS, _CELLS_PER_BLOCK = 2048, 256
_CAUSAL_SHARE = 0.5  # of what a gene predicts of another
_SMALLEST = 1e-12


class ExpectedEffects(nn.Module):
    """The expected size of the effects of knockdowns, read out of a trained module.

    Softmax gives the weights of every target the same sum, so that attention of different targets cannot be compared.

    * A perturbed source gets its share of the attention among perturbed sources, times the sum of the target's
      importances.
    * Any other source gets what the module predicts: its attention, times the slope of the target's prediction over the
      mixed expression in controls, times the depth of a knockdown. Half of that counts, since a prediction does not
      tell which of two genes acts on the other, and of this the coupling of the genes: where they vary independently of
      each other, the slopes are those of noise.

    Both are multiplied by the target's standard deviation, for the scale of the data.

    Parameters
    ----------
    module
        In evaluation mode.
    statistics
        Of the training cells.
    controls
        Cells × G, standardised.
    """

    def __init__(self, module: CatranModule, statistics: CellStatistics, controls: torch.Tensor) -> None:
        super().__init__()
        self.module = module
        self.perturbed = ~statistics.importance.diagonal().isnan()
        self.size = statistics.importance.nansum(dim=1) * statistics.deviation
        predicted = _CAUSAL_SHARE * statistics.coupling * statistics.depth * prediction_slopes(module, controls)
        self.predicted = predicted * statistics.deviation

    def attention_rows(self, targets: torch.Tensor) -> torch.Tensor:
        """Return the expected size of the effects of all G genes on some targets, targets × G."""
        attention = self.module.attention_rows(targets)
        measured = attention[:, self.perturbed].sum(dim=1).clamp_min(_SMALLEST)
        scale = torch.where(self.perturbed, (self.size[targets] / measured)[:, None], self.predicted[targets][:, None])
        return attention * scale


@torch.no_grad()
def prediction_slopes(module: CatranModule, controls: torch.Tensor) -> torch.Tensor:
    """Return the size of the slope of each gene's prediction over its mixed expression in control cells, G."""
    genes = torch.arange(controls.shape[1])
    controls = controls[:_CELLS]
    mixed = controls @ module.mixing_weights(module.attention(genes), genes).T
    mixed = mixed - mixed.mean(dim=0)
    predicted = torch.cat([module(cells, genes)[0] for cells in controls.split(_CELLS_PER_BLOCK)])
    variance = mixed.square().sum(dim=0).clamp_min(_SMALLEST)
    return ((mixed * predicted).sum(dim=0) / variance).abs()
