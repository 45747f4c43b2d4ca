"""Training of the gates: the evidence of some training cells has to predict the effects in the others.

The training cells are dealt to folds. Each fold is held out in turn: the gates see the evidence of all others, and the
effects that are measured in the held-out fold are what they must predict. Where the data have sources that were never
perturbed, the gates also see perturbed sources as if they were unperturbed, so that both kinds are scored on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.nn.functional import huber_loss

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.models.evidence.module import IS_PERTURBED, GatedAttention, GateModule, PairEvidence
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    SufficientStatistics,
    sufficient_statistics,
)
from catran_causalbench.training.history import TrainingPlan

# Held-out effects are fitted by a Huber loss that turns linear at so many of their standard errors.
_HUBER_DELTA = 4.0
# Number of pairs that set the scale of the features and decide which gates are kept.
_SAMPLE = 2**17


@dataclass(frozen=True)
class HeldOutFold:
    """Evidence, and the effects that have to be predicted from it for the pairs of some sources.

    Attributes
    ----------
    evidence
        Of all cells but the held-out ones.
    is_perturbed
        1, or 0 where the gates see the sources as if they had never been perturbed.
    effect, error
        G × G and G, the effects to be predicted and their sources' standard errors, in the unit of the evidence.
    sources
        Genes that were perturbed on both sides.
    """

    evidence: PairEvidence
    is_perturbed: float
    effect: torch.Tensor
    error: torch.Tensor
    sources: torch.Tensor

    @classmethod
    def of(
        cls, evidence: PairEvidence, is_perturbed: float, effect: np.ndarray, error: np.ndarray, sources: np.ndarray
    ) -> HeldOutFold:
        """Turn arrays into tensors."""
        effects, errors = (torch.from_numpy(np.float32(values)) for values in (effect, error))
        return cls(evidence, is_perturbed, effects, errors, torch.from_numpy(sources))


@dataclass(frozen=True)
class PairMinibatch:
    """N ordered pairs: features (N × 12), terms (N × 3), held-out effect and its standard error (N).

    The input noise (N × 12) is added to the features in units of their spread.
    """

    features: torch.Tensor
    terms: torch.Tensor
    effect: torch.Tensor
    error: torch.Tensor
    input_noise: torch.Tensor | float = 0.0


class PairLoader:
    """Iterable over minibatches of random pairs, the same ones for the same seed."""

    def __init__(self, folds: list[HeldOutFold], settings: EvidenceSettings, seed: int) -> None:
        self._folds = folds
        self._settings = settings
        self._seed = seed

    @property
    def has_folds(self) -> bool:
        """Whether there is anything to learn from: a perturbed gene with cells in two folds."""
        return bool(self._folds)

    @property
    def prior(self) -> float:
        """Weight of the prior against uneven gates, as a share of that of the pairs whose effect the gates see.

        Few pairs could be learned by heart: the folds share their correlations, and with them what tells pairs apart.
        The prior weighs as much as ``prior_pairs`` pairs do, so it holds small panels close to equal gates, while large
        ones hardly feel it. It has two forms: a penalty on gates that differ between pairs, and noise on the inputs,
        √prior of their spread, which acts like a penalty on the gates' slopes (C. M. Bishop, "Training with noise is
        equivalent to Tikhonov regularization", Neural Computation 7, 1995).
        """
        pairs = sum(len(fold.sources) * (len(fold.error) - 1) for fold in self._folds if fold.is_perturbed)
        return self._settings.prior_pairs / max(pairs, 1)

    def __len__(self) -> int:
        return self._settings.steps

    def __iter__(self) -> Iterator[PairMinibatch]:
        generator = torch.Generator().manual_seed(self._seed)
        for _ in range(len(self)):
            pairs = self.draw(self._settings.pairs_per_minibatch, generator)
            noise = math.sqrt(self.prior) * torch.randn(pairs.features.shape, generator=generator)
            noise[:, IS_PERTURBED] = 0  # this is known for certain
            yield replace(pairs, input_noise=noise)

    def draw(self, num_pairs: int, generator: torch.Generator) -> PairMinibatch:
        """Draw pairs uniformly over all folds, without input noise."""
        sizes = torch.tensor([float(len(fold.sources)) for fold in self._folds])
        chosen = torch.multinomial(sizes, num_pairs, replacement=True, generator=generator)
        parts = []
        for number, count in enumerate(torch.bincount(chosen, minlength=len(sizes)).tolist()):
            fold = self._folds[number]
            source = fold.sources[torch.randint(len(fold.sources), (count,), generator=generator)]
            target = torch.randint(len(fold.error) - 1, (count,), generator=generator)
            target += target >= source  # any gene but the source
            features, terms, sign = fold.evidence.look_up(source, target, torch.full((count,), fold.is_perturbed))
            parts.append((features, terms, fold.effect[source, target] * sign, fold.error[source]))
        return PairMinibatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


class EvidenceTrainingPlan(TrainingPlan):
    """The gates, their objective and their optimiser.

    Parameters
    ----------
    dataset
        Validated data.
    settings
        Of the model.
    seed
        Decides folds, initial weights and the pairs of every minibatch.
    """

    def __init__(self, dataset: PerturbationDataset, settings: EvidenceSettings, seed: int) -> None:
        super().__init__(1, "evidence.learning_rate", uses_gpu=False)  # gates are small and train on the CPU
        self.settings = settings
        statistics = sufficient_statistics(dataset, settings.folds, seed)
        associations = Associations.of(statistics)
        measured = statistics.effects(list(range(settings.folds)))
        self.evidence = PairEvidence.gather(measured, associations, settings)
        folds = _held_out_folds(statistics, associations, self.evidence, measured, settings)
        self.loader = PairLoader(folds, settings, seed)
        self.gates = GateModule(settings.gates, settings.width, torch.Generator().manual_seed(seed))
        if self.loader.has_folds:
            self._sample = self.loader.draw(_SAMPLE, torch.Generator().manual_seed(seed + 1))
            self.gates.standardise(self._sample.features)

    @property
    def can_learn(self) -> bool:
        """Whether any perturbed gene has cells in two folds."""
        return self.loader.has_folds

    def train_dataloader(self) -> PairLoader:
        """Return minibatches of pairs."""
        return self.loader

    def transfer_batch_to_device(
        self, batch: PairMinibatch, device: torch.device, dataloader_idx: int
    ) -> PairMinibatch:
        """Return the minibatch as it is: it was made where the gates train."""
        return batch

    def configure_optimizers(self) -> lightning.utilities.types.OptimizerLRSchedulerConfig:
        """Return AdamW under one cycle of the learning rate."""
        settings = self.settings
        optimiser = torch.optim.AdamW(self.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, minibatch: PairMinibatch, step: int) -> torch.Tensor:
        """Return the sum of the losses of all gate networks: each learns as if it were alone."""
        losses = self._losses(minibatch)
        self.record(self.global_step, {"loss/held_out_effect": losses.detach().mean()})
        return losses.sum()

    def trained_module(self) -> GatedAttention:
        """Return attention by the gates that predict the held-out effects best; by untrained ones without folds."""
        with torch.no_grad():
            if self.loader.has_folds:
                self.gates.keep(self._losses(self._sample).argsort()[: self.settings.gates_kept])
        return GatedAttention(self.evidence, self.gates)

    def _losses(self, minibatch: PairMinibatch) -> torch.Tensor:
        """Compute each gate network's loss: Huber loss of the standardised residual, and the prior of equal gates.

        Unperturbed sources need uneven gates and are seen once only: the penalty leaves them alone.
        """
        effect, gate_deviation = self.gates(minibatch.features, minibatch.terms, minibatch.input_noise)
        standardised_residual = (effect - minibatch.effect) / minibatch.error
        losses = huber_loss(
            standardised_residual, torch.zeros_like(standardised_residual), reduction="none", delta=_HUBER_DELTA
        )
        penalty = self.loader.prior * gate_deviation * minibatch.features[:, IS_PERTURBED]
        return (losses + penalty).mean(dim=1)


def _held_out_folds(
    statistics: SufficientStatistics,
    associations: Associations,
    evidence: PairEvidence,
    measured: PerturbationEffects,
    settings: EvidenceSettings,
) -> list[HeldOutFold]:
    """Hold out every fold in turn; then all perturbed sources as if they were unperturbed, where some sources are.

    Gates that only ever saw the latter would have to guess what a measured effect is worth: there are no folds then.
    """
    folds = []
    for number in range(statistics.num_folds):
        rest = statistics.effects([other for other in range(statistics.num_folds) if other != number])
        held_out = statistics.effects([number])
        sources = np.flatnonzero(rest.perturbed & held_out.perturbed)
        # Both in the unit of the evidence, which must not know the cells held out.
        effect = held_out.effect * held_out.deviation / rest.deviation
        shown = PairEvidence.gather(rest, associations, settings)
        folds.append(HeldOutFold.of(shown, 1.0, effect, held_out.error, sources))
    folds = [fold for fold in folds if len(fold.sources)]
    if folds and not measured.perturbed.all():
        sources = np.flatnonzero(measured.perturbed)
        folds.append(HeldOutFold.of(evidence, 0.0, measured.effect, measured.error, sources))
    return folds
