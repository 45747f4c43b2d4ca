"""Held-out effects that the gates learn to predict, and minibatches of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.gates import IS_PERTURBED, GateInputs, GateModule
from catran_causalbench.models.evidence.module import PAIRS_PER_BLOCK, PairEvidence
from catran_causalbench.utils.parallel import in_threads, prefetched

_PAIRS_AT_ONCE = 2**15  # to be drawn


@dataclass(frozen=True)
class HeldOutFold:
    """Evidence, and the effects of some sources that have to be predicted from it.

    Attributes
    ----------
    evidence
        Of all cells but the held-out ones.
    is_perturbed
        1, or 0 where the sources are treated as if they had never been perturbed.
    effect, error
        G × G and G, the effects to be predicted and their sources' standard errors, in the unit of the evidence.
    sources
        Genes with perturbed cells both among the held-out cells and among the others.
    """

    evidence: PairEvidence
    is_perturbed: float
    effect: torch.Tensor
    error: torch.Tensor
    sources: torch.Tensor

    def look_up(self, source: torch.Tensor, target: torch.Tensor) -> DrawnPairs:
        """Return features, terms and held-out effects of some pairs."""
        features, terms, sign = self.evidence.look_up(source, target, torch.full((len(source),), self.is_perturbed))
        return DrawnPairs(features, terms, self.effect[source, target] * sign, self.error[source], source)


class DrawnPairs(NamedTuple):
    """N ordered pairs: features (N × 12), terms (N × 3), held-out effect, its standard error and source (N each)."""

    features: torch.Tensor
    terms: torch.Tensor
    effect: torch.Tensor
    error: torch.Tensor
    source: torch.Tensor


class PairMinibatch(NamedTuple):
    """What the gates learn from N pairs.

    Attributes
    ----------
    inputs
        Of the gates, with noise.
    effect, error
        N each, the held-out effect and its standard error.
    weight
        gates × N, of the pair in the mean loss of each network: 0 for the sources that were dealt to it.
    """

    inputs: GateInputs
    effect: torch.Tensor
    error: torch.Tensor
    weight: torch.Tensor


class PairLoader:
    """Iterable over minibatches of random pairs, which follow from the seed."""

    def __init__(
        self,
        folds: list[HeldOutFold],
        settings: EvidenceSettings,
        seed: int,
        gates: GateModule,
        left_out_by: torch.Tensor,
    ) -> None:
        self._folds = folds
        self._settings = settings
        self._seed = seed
        self._gates = gates
        self._left_out_by = left_out_by
        self._num_genes = len(left_out_by)
        # One row for every source of every fold.
        self._source = torch.cat([torch.empty(0, dtype=torch.int64), *(fold.sources for fold in folds)])
        self._fold = torch.repeat_interleave(torch.tensor([len(fold.sources) for fold in folds], dtype=torch.int64))
        self._all_pairs: DrawnPairs | None = None
        # Features of all pairs are computed once where that is less work than those of the pairs that will be drawn.
        if 0 < len(self._source) * self._num_genes <= settings.steps * settings.pairs_per_minibatch:
            self._all_pairs = self._look_up_all()

    @property
    def prior(self) -> float:
        """Weight of the prior of equal gates, relative to all pairs with perturbed sources.

        Few pairs could be memorised: the folds share their correlations, and with them what tells pairs apart. The
        prior has the weight of ``prior_pairs`` pairs, so it keeps the gates of small panels nearly equal and hardly
        affects large ones. It has two forms: a penalty on gates that differ between pairs, and noise on the inputs,
        √prior of their spread, which acts like a penalty on the gates' slopes (C. M. Bishop, "Training with noise is
        equivalent to Tikhonov regularization", Neural Computation 7, 1995).
        """
        return self._settings.prior_pairs / max(self.num_pairs(is_perturbed=1.0), 1)

    def num_pairs(self, is_perturbed: float) -> int:
        """Return the number of pairs in the folds that use (1) or hide (0) the source's own effects."""
        folds = (fold for fold in self._folds if fold.is_perturbed == is_perturbed)
        return sum(len(fold.sources) * (len(fold.error) - 1) for fold in folds)

    def __len__(self) -> int:
        return self._settings.steps

    def __iter__(self) -> Iterator[PairMinibatch]:
        """Yield the minibatches; each is drawn in a second thread while the gates learn from those before."""
        with prefetched(self._drawn()) as drawn:
            for minibatches in drawn:
                yield from minibatches

    def _drawn(self) -> Iterator[list[PairMinibatch]]:
        """Yield a few minibatches at a time: threads that take many short turns wait for each other."""
        generator, size = torch.Generator().manual_seed(self._seed), self._settings.pairs_per_minibatch
        at_once = max(1, _PAIRS_AT_ONCE // size)
        for step in range(0, len(self), at_once):
            pairs = self.draw(min(at_once, len(self) - step) * size, generator)
            noise = math.sqrt(self.prior) * torch.randn(pairs.features.shape, generator=generator)
            noise[:, IS_PERTURBED] = 0  # known without error
            yield self.minibatches(pairs, noise)

    def minibatches(self, pairs: DrawnPairs, input_noise: torch.Tensor | float = 0.0) -> list[PairMinibatch]:
        """Divide pairs into minibatches, with input noise (N × 12) in units of the features' spread."""
        inputs = self._gates.prepare(pairs.features, pairs.terms, input_noise)
        learned = self._left_out_by[pairs.source] != torch.arange(self._settings.gates)[:, None]  # gates × N
        columns = (*inputs, pairs.effect, pairs.error, learned)
        parts = zip(*(column.split(self._settings.pairs_per_minibatch, dim=-1) for column in columns), strict=True)
        return [
            PairMinibatch(
                GateInputs(features.contiguous(), kind, evidence),
                effect,
                error,
                learned / learned.sum(dim=1, keepdim=True).clamp_min(1),
            )
            for features, kind, evidence, effect, error, learned in parts
        ]

    def draw(self, num_pairs: int, generator: torch.Generator) -> DrawnPairs:
        """Draw pairs uniformly over all folds."""
        row = torch.randint(len(self._source), (num_pairs,), generator=generator)
        target = torch.randint(self._num_genes - 1, (num_pairs,), generator=generator)
        target += target >= self._source[row]  # any gene but the source
        if self._all_pairs is None:
            return self._look_up(row, target)
        place = row * self._num_genes + target
        return DrawnPairs(*(column.index_select(0, place) for column in self._all_pairs))

    def _look_up(self, row: torch.Tensor, target: torch.Tensor) -> DrawnPairs:
        fold = self._fold[row]
        by_fold = fold.argsort(stable=True)
        parts = [
            self._folds[number].look_up(self._source[row[chosen]], target[chosen])
            for number, chosen in enumerate(by_fold.split(torch.bincount(fold, minlength=len(self._folds)).tolist()))
        ]
        place = by_fold.argsort()
        return DrawnPairs(*(torch.cat(columns)[place] for columns in zip(*parts, strict=True)))

    def _look_up_all(self) -> DrawnPairs:
        """Look up every pair of a row and any gene, the source included."""
        genes = torch.arange(self._num_genes)

        def look_up(block: tuple[HeldOutFold, torch.Tensor]) -> DrawnPairs:
            fold, sources = block
            return fold.look_up(sources.repeat_interleave(len(genes)), genes.repeat(len(sources)))

        per_block = max(1, PAIRS_PER_BLOCK // len(genes))
        blocks = [(fold, sources) for fold in self._folds for sources in fold.sources.split(per_block)]
        return DrawnPairs(*(torch.cat(columns) for columns in zip(*in_threads(look_up, blocks), strict=True)))
