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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.nn.functional import huber_loss

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.models.evidence.calibration import PROPORTIONAL, LeftOutPairs, PowerLaw
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.gates import IS_PERTURBED, GateModule
from catran_causalbench.models.evidence.module import PAIRS_PER_BLOCK, GatedAttention, PairEvidence
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    SufficientStatistics,
    sufficient_statistics,
)
from catran_causalbench.training.history import TrainingPlan
from catran_causalbench.utils.hardware import best_device
from catran_causalbench.utils.parallel import prefetched

_HUBER_DELTA = 4.0  # the loss becomes linear at so many standard errors of the held-out effect
_STRICTNESS = 0.1  # the weight of the prior at which calibration has half its strength
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

    def pairs(self, source: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
        """Return the columns of a :class:`PairMinibatch` for some pairs, without input noise."""
        features, terms, sign = self.evidence.look_up(source, target, torch.full((len(source),), self.is_perturbed))
        return [features, terms, self.effect[source, target] * sign, self.error[source], source]

    @cached_property
    def all_pairs(self) -> list[torch.Tensor]:
        """The columns for every pair of one of the sources and any gene, itself included."""
        genes = len(self.error)
        blocks = self.sources.split(max(1, PAIRS_PER_BLOCK // genes))
        every = torch.arange(genes)
        parts = [self.pairs(block.repeat_interleave(genes), every.repeat(len(block))) for block in blocks]
        return [torch.cat(columns) for columns in zip(*parts, strict=True)]


@dataclass(frozen=True)
class PairMinibatch:
    """N ordered pairs: features (N × 12), terms (N × 3), held-out effect, its standard error and source (N each).

    The input noise (N × 12) is in units of the features' spread.
    """

    features: torch.Tensor
    terms: torch.Tensor
    effect: torch.Tensor
    error: torch.Tensor
    source: torch.Tensor
    input_noise: torch.Tensor | float = 0.0


class PairLoader:
    """Iterable over minibatches of random pairs, which follow from the seed."""

    def __init__(self, folds: list[HeldOutFold], settings: EvidenceSettings, seed: int) -> None:
        self._folds = folds
        self._settings = settings
        self._seed = seed
        # Features of all pairs are computed once where that is less work than those of the pairs that will be drawn.
        pairs = sum(len(fold.sources) * len(fold.error) for fold in folds)
        self._knows_all_pairs = pairs <= settings.steps * settings.pairs_per_minibatch

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
        """Yield the minibatches; each is drawn in a second thread while the gates learn from the one before."""
        with prefetched(self._drawn()) as minibatches:
            yield from minibatches

    def _drawn(self) -> Iterator[PairMinibatch]:
        generator = torch.Generator().manual_seed(self._seed)
        for _ in range(len(self)):
            pairs = self.draw(self._settings.pairs_per_minibatch, generator)
            noise = math.sqrt(self.prior) * torch.randn(pairs.features.shape, generator=generator)
            noise[:, IS_PERTURBED] = 0  # known without error
            yield replace(pairs, input_noise=noise)

    def draw(self, num_pairs: int, generator: torch.Generator) -> PairMinibatch:
        """Draw pairs uniformly over all folds, without input noise."""
        sizes = torch.tensor([float(len(fold.sources)) for fold in self._folds])
        chosen = torch.multinomial(sizes, num_pairs, replacement=True, generator=generator)
        parts = []
        for number, count in enumerate(torch.bincount(chosen, minlength=len(sizes)).tolist()):
            fold = self._folds[number]
            genes = len(fold.error)
            place = torch.randint(len(fold.sources), (count,), generator=generator)
            source = fold.sources[place]
            target = torch.randint(genes - 1, (count,), generator=generator)
            target += target >= source  # any gene but the source
            if self._knows_all_pairs:
                parts.append([column.index_select(0, place * genes + target) for column in fold.all_pairs])
            else:
                parts.append(fold.pairs(source, target))
        return PairMinibatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


class EvidenceTrainingPlan(TrainingPlan):
    """The gates, their objective and their optimiser; the seed decides folds, initial weights and minibatches."""

    def __init__(self, dataset: PerturbationDataset, settings: EvidenceSettings, seed: int) -> None:
        super().__init__(1, "evidence.learning_rate", uses_gpu=False)  # gates are small and train on the CPU
        self.settings = settings
        device = best_device()  # for what costs cells × genes²
        statistics = sufficient_statistics(dataset, settings.folds, seed, device)
        associations = Associations.of(statistics, device)
        measured = statistics.all_effects
        self.evidence = PairEvidence.gather(measured, associations, settings)
        folds = self._held_out_folds(statistics, associations, measured)
        self.can_learn = bool(folds)
        self.loader = PairLoader(folds, settings, seed)
        # The gate network that does not learn from a source: perturbed sources are dealt like cards.
        sources = np.random.default_rng(seed).permutation(np.flatnonzero(measured.perturbed))
        self._left_out_by = torch.zeros(dataset.num_genes, dtype=torch.int64)
        self._left_out_by[sources] = torch.arange(len(sources)) % settings.gates
        self.gates = GateModule(settings.gates, settings.width, torch.Generator().manual_seed(seed))
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
        effect, gate_deviation = self.gates(minibatch.features, minibatch.terms, minibatch.input_noise)
        residual = (effect - minibatch.effect) / minibatch.error
        losses = huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=_HUBER_DELTA)
        penalty = self.loader.prior * gate_deviation * minibatch.features[:, IS_PERTURBED]
        learned = self._left_out_by[minibatch.source] != torch.arange(len(losses))[:, None]  # gates × N
        return ((losses + penalty) * learned).sum(dim=1) / learned.sum(dim=1).clamp_min(1)

    def _left_out_pairs(self, is_perturbed: float) -> LeftOutPairs:
        """Let each network predict the sources that it has not learned from, as if perturbed (1) or not (0)."""
        sample = self._sample
        chosen = sample.features[:, IS_PERTURBED] == is_perturbed
        with torch.no_grad():
            columns = sample.features[chosen], sample.terms[chosen]
            blocks = zip(*(column.split(PAIRS_PER_BLOCK) for column in columns), strict=True)
            effect = torch.cat([self.gates(*block)[0] for block in blocks], dim=1)
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
