"""Training of the gates: evidence from some training cells has to predict the effects in the others.

The training cells are divided into folds. Each is held out in turn: the gates get the evidence of all others and have
to predict the effects in it. Where some genes were never perturbed, the gates also learn from perturbed sources that
are treated as if they were not, so that both kinds are scored on one scale.

The perturbed sources are dealt to the gate networks, and each network learns from the sources of the others. What it
then expects of its own sources is calibrated on their measured effects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.nn.functional import huber_loss

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import warn
from catran_causalbench.models.evidence.calibration import PROPORTIONAL, LeftOutPairs, PowerLaw
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.gates import IS_PERTURBED, GateInputs, GateModule
from catran_causalbench.models.evidence.module import PAIRS_PER_BLOCK, GatedAttention, PairEvidence
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    SufficientStatistics,
    sufficient_statistics,
)
from catran_causalbench.models.evidence.sums import CPU
from catran_causalbench.training.history import TrainingPlan
from catran_causalbench.utils.parallel import in_threads, prefetched

_HUBER_DELTA = 4.0  # the loss becomes linear at so many standard errors of the held-out effect
_STRICTNESS = 0.1  # the weight of the prior at which calibration has half its strength
_PAIRS_AT_ONCE = 2**15  # to be drawn
_SAMPLE = 2**17  # pairs that set the scale of the features and calibrate the gates


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


class EvidenceTrainingPlan(TrainingPlan):
    """The gates, their objective and their optimiser; the seed decides folds, initial weights and minibatches."""

    def __init__(self, dataset: PerturbationDataset, settings: EvidenceSettings, seed: int) -> None:
        super().__init__(1, "evidence.learning_rate", uses_gpu=False)  # gates are small and train on the CPU
        self.settings = settings
        statistics, associations = _statistics(dataset, settings, seed)
        measured = statistics.all_effects
        self.evidence = PairEvidence.gather(measured, associations, settings)
        folds = self._held_out_folds(statistics, associations, measured)
        self.can_learn = bool(folds)
        # The gate network that does not learn from a source: perturbed sources are dealt like cards.
        sources = np.random.default_rng(seed).permutation(np.flatnonzero(measured.perturbed))
        self._left_out_by = torch.zeros(dataset.num_genes, dtype=torch.int64)
        self._left_out_by[sources] = torch.arange(len(sources)) % settings.gates
        self.gates = GateModule(settings.gates, settings.width, torch.Generator().manual_seed(seed))
        self.loader = PairLoader(folds, settings, seed, self.gates, self._left_out_by)
        if self.can_learn:
            self._sample = self.loader.draw(_SAMPLE, torch.Generator().manual_seed(seed + 1))
            self.gates.standardise(self._sample.features)

    def train_dataloader(self) -> PairLoader:
        """Return minibatches of pairs."""
        return self.loader

    def transfer_batch_to_device(
        self, batch: PairMinibatch, device: torch.device, dataloader_idx: int
    ) -> PairMinibatch:
        """Return the minibatch as it is: it was drawn on the CPU, where the gates train."""
        return batch

    def configure_optimizers(self) -> lightning.utilities.types.OptimizerLRSchedulerConfig:
        """Return AdamW under one cycle of the learning rate."""
        settings = self.settings
        rate, decay = settings.learning_rate, settings.weight_decay
        optimiser = torch.optim.AdamW(self.parameters(), rate, weight_decay=decay, fused=True)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=settings.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, minibatch: PairMinibatch, step: int) -> torch.Tensor:
        """Return the sum of the losses of all gate networks: each learns as if it were the only one."""
        losses = self._losses(minibatch)
        self.record(self.global_step, {"loss/held_out_effect": losses.detach().mean()})
        return losses.sum()

    def trained_module(self) -> GatedAttention:
        """Return calibrated attention by the trained gates, or attention by untrained gates without folds."""
        if not self.can_learn:
            return GatedAttention(self.evidence, self.gates)
        unperturbed = PowerLaw.fit(self._left_out_pairs(0.0), PROPORTIONAL)
        # The law makes up for the prior, and has no use without it; but it is learned from fewer cells than are at hand
        # now, among which chance makes more of the largest effects, and so is too strict.
        perturbed = PowerLaw.fit(self._left_out_pairs(1.0)).weakened(
            self.loader.prior / (self.loader.prior + _STRICTNESS)
        )
        return GatedAttention(self.evidence, self.gates, unperturbed, perturbed)

    def _losses(self, minibatch: PairMinibatch) -> torch.Tensor:
        """Compute each gate network's loss: Huber loss of the standardised residual, and the prior of equal gates.

        A network's loss leaves out the sources that were dealt to it. The penalty leaves out unperturbed sources: they
        need other gates, and each of their pairs occurs in one fold.
        """
        effect, gate_deviation = self.gates(minibatch.inputs)
        residual = (effect - minibatch.effect) / minibatch.error
        losses = huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=_HUBER_DELTA)
        penalty = gate_deviation * (self.loader.prior * minibatch.inputs.kind[1])
        return ((losses + penalty) * minibatch.weight).sum(dim=1)

    def _left_out_pairs(self, is_perturbed: float) -> LeftOutPairs:
        """Let each network predict the sources that it has not learned from, as if perturbed (1) or not (0)."""
        sample = self._sample
        chosen = sample.features[:, IS_PERTURBED] == is_perturbed
        with torch.no_grad():
            columns = sample.features[chosen], sample.terms[chosen]
            blocks = zip(*(column.split(PAIRS_PER_BLOCK) for column in columns), strict=True)
            effect = torch.cat([self.gates(self.gates.prepare(*block))[0] for block in blocks], dim=1)
        source = sample.source[chosen]
        expected = effect.gather(0, self._left_out_by[source][None])[0]
        repeats = len(source) / max(self.loader.num_pairs(is_perturbed), 1)
        return LeftOutPairs(
            expected=expected.double().numpy(),
            observed=sample.effect[chosen].double().numpy(),
            error=sample.error[chosen].double().numpy(),
            source=source.numpy(),
            weight=1 / max(repeats, 1.0),
        )

    def _held_out_folds(
        self, statistics: SufficientStatistics, associations: Associations, measured: PerturbationEffects
    ) -> list[HeldOutFold]:
        """Hold out every fold in turn, then treat all perturbed sources as unperturbed, where some genes are.

        The latter alone would not show what a measured effect is worth, so there are no folds without the former.
        """
        numbers = range(self.settings.folds)
        folds = []
        for number in numbers:
            rest = statistics.effects([other for other in numbers if other != number])
            held_out = statistics.effects([number])
            sources = np.flatnonzero(rest.perturbed & held_out.perturbed)
            if len(sources):
                # In the unit of the evidence, which must not depend on the held-out cells.
                effect = held_out.effect * np.float32(held_out.deviation / rest.deviation)
                evidence = PairEvidence.gather(rest, associations, self.settings)
                arrays = effect, np.float32(held_out.error), sources
                folds.append(HeldOutFold(evidence, 1.0, *map(torch.from_numpy, arrays)))
        if folds and not measured.perturbed.all():
            arrays = np.float32(measured.effect), np.float32(measured.error), np.flatnonzero(measured.perturbed)
            folds.append(HeldOutFold(self.evidence, 0.0, *map(torch.from_numpy, arrays)))
        return folds


def _statistics(
    dataset: PerturbationDataset, settings: EvidenceSettings, seed: int
) -> tuple[SufficientStatistics, Associations]:
    """Compute what costs cells × genes² or genes³ on a GPU that has enough memory, else on the CPU."""

    def compute(device: torch.device) -> tuple[SufficientStatistics, Associations]:
        statistics = sufficient_statistics(dataset, settings.folds, seed, device)
        return statistics, Associations.of(statistics, device)

    if torch.cuda.is_available():
        with suppress(torch.cuda.OutOfMemoryError):
            return compute(torch.device("cuda"))
        warn(f"the GPU has too little memory for matrices of {dataset.num_genes:,} genes; the CPU computes them")
    return compute(CPU)
