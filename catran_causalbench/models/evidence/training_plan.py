"""Training of the gates: evidence from some training cells has to predict the effects in the others.

The training cells are divided into folds. Each is held out in turn: the gates get the evidence of all others and have
to predict the effects in it. Where some genes were never perturbed, the gates also learn from perturbed sources that
are treated as if they were not, so that both kinds are scored on one scale.

The perturbed sources are dealt to the gate networks, and each network learns from the sources of the others. What it
then expects of its own sources is calibrated on their measured effects.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.nn.functional import huber_loss

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import warn
from catran_causalbench.models.evidence.calibration import LeftOutPairs, PowerLaw
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.dataloader import HeldOutFold, PairLoader, PairMinibatch
from catran_causalbench.models.evidence.gates import IS_PERTURBED, GateModule
from catran_causalbench.models.evidence.module import PAIRS_PER_BLOCK, PARTIAL, GatedAttention, PairEvidence
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    SufficientStatistics,
    sufficient_statistics,
)
from catran_causalbench.models.evidence.sums import CPU
from catran_causalbench.models.evidence.unperturbed import UnperturbedSources
from catran_causalbench.training.history import TrainingPlan
from catran_causalbench.utils.hardware import best_device

_HUBER_DELTA = 4.0  # the loss becomes linear at so many standard errors of the held-out effect
_HALF_STRENGTH = 0.1  # the weight of the prior at which what makes up for few pairs has half its strength
_SAMPLE = 2**17  # pairs that set the scale of the features and calibrate the gates


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
        # Between 0 and 1: the fewer pairs there are, the less can be learned from them.
        self._fewness = self.loader.prior / (self.loader.prior + _HALF_STRENGTH)
        some_unperturbed = self.can_learn and not measured.perturbed.all()
        self._unperturbed = UnperturbedSources.of(statistics, settings, self._fewness) if some_unperturbed else None
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
        # The law makes up for the prior, and has no use without it; but it is learned from fewer cells than are at hand
        # now, among which chance makes more of the largest effects, and so is too strict.
        perturbed = PowerLaw.fit(self._left_out_pairs()).weakened(self._fewness)
        attention = GatedAttention(self.evidence, self.gates, perturbed)
        if self._unperturbed:
            attention.unperturbed = self._calibrated(self._unperturbed, attention)
        return attention

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

    def _left_out_pairs(self) -> LeftOutPairs:
        """Let each network predict the effects of perturbed sources that it has not learned from."""
        sample = self._sample
        chosen = sample.features[:, IS_PERTURBED] == 1
        source = sample.source[chosen]
        columns = sample.features[chosen], sample.terms[chosen], source
        with torch.no_grad():
            blocks = zip(*(column.split(PAIRS_PER_BLOCK) for column in columns), strict=True)
            expected = torch.cat([self._left_out(*block) for block in blocks])
        repeats = len(source) / max(self.loader.num_pairs(is_perturbed=1.0), 1)
        return LeftOutPairs(
            expected=expected.double().numpy(),
            observed=sample.effect[chosen].double().numpy(),
            error=sample.error[chosen].double().numpy(),
            source=source.numpy(),
            weight=1 / max(repeats, 1.0),
        )

    def _left_out(self, features: torch.Tensor, terms: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Return of each pair what the network expects that has not learned from its source."""
        return self.gates(self.gates.prepare(features, terms))[0].gather(0, self._left_out_by[source][None])[0]

    @torch.no_grad()
    def _calibrated(self, rules: UnperturbedSources, attention: GatedAttention) -> UnperturbedSources:
        """Compare what is expected of perturbed sources as if they were not with what is expected of them as they are.

        Of many genes, some targets are drawn. Each gate network speaks for the sources that it has not learned from.
        """
        sources = self.evidence.perturbed.nonzero()[:, 0]
        targets = torch.randperm(len(self.evidence.depth), generator=torch.Generator().manual_seed(0))
        pairs = torch.cartesian_prod(sources, targets[: max(1, _SAMPLE // len(sources))])
        found = []
        for source, target in (block.T for block in pairs[pairs[:, 0] != pairs[:, 1]].split(PAIRS_PER_BLOCK)):
            features, terms, _ = self.evidence.look_up(source, target, torch.zeros(len(source)))
            expected = rules(self._left_out(features, terms, source), terms[:, PARTIAL], source, target)
            found.append((expected, attention.expected_effects(source, target, torch.ones(len(source))), source))
        return rules.calibrated(*(torch.cat(column) for column in zip(*found, strict=True)))

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

    device = best_device()
    if device != CPU:
        with suppress(torch.cuda.OutOfMemoryError):
            return compute(device)
        warn(f"the GPU has too little memory for matrices of {dataset.num_genes:,} genes; the CPU computes them")
    return compute(CPU)
