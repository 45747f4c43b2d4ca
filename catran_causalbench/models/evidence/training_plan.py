"""Training of the gates: the evidence of some training cells has to predict the shifts in the others.

The training cells are dealt to folds. In turn, the evidence from all folds but one is shown to the gates, and the
shifts measured in that fold are what they must predict. Where the data have sources that were never perturbed,
perturbed sources are also shown as if they were unperturbed, so that both kinds are scored on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.nn.functional import huber_loss

from catran_causalbench.config import EvidenceSettings
from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.models.evidence.module import SHOWN, GatedAttention, Gates, PairEvidence
from catran_causalbench.models.evidence.statistics import (
    Associations,
    PerturbationEffects,
    SufficientStatistics,
    sufficient_statistics,
)

# Held-out shifts are fitted by a Huber loss that turns linear at so many of their standard errors.
_HUBER_DELTA = 4.0
# Pairs that measure the features' scale and decide which gates are kept.
_SAMPLE = 2**17


@dataclass(frozen=True)
class _Lesson:
    """Evidence, and what has to be predicted from it for the pairs of some sources."""

    evidence: PairEvidence
    shown: float
    response: torch.Tensor
    error: torch.Tensor
    sources: torch.Tensor


@dataclass(frozen=True)
class PairMinibatch:
    """N ordered pairs: features (N × 12), evidence (N × 3), held-out shift and its standard error (N).

    The blur (N × 12) is added to the features in units of their spread.
    """

    features: torch.Tensor
    evidence: torch.Tensor
    response: torch.Tensor
    error: torch.Tensor
    blur: torch.Tensor | float = 0.0


class PairLoader:
    """Iterable over minibatches of random pairs, the same ones for the same seed."""

    def __init__(self, lessons: list[_Lesson], settings: EvidenceSettings, seed: int) -> None:
        self._lessons = lessons
        self._settings = settings
        self._seed = seed

    @property
    def has_lessons(self) -> bool:
        """Whether there is anything to learn from: a perturbed gene with cells in two folds."""
        return bool(self._lessons)

    @property
    def prior(self) -> float:
        """Weight of the prior against uneven gates, as a share of that of the pairs whose shift the gates get to see.

        Few pairs could be learned by heart: the folds share their masked prediction, and with it what tells pairs
        apart. The prior weighs as much as ``prior_pairs`` pairs do, so it holds small panels close to equal gates,
        while large ones hardly feel it. It has two forms: a penalty on gates that differ between pairs, and noise on
        what they see, √prior of its spread, which acts like a penalty on their slopes (C. M. Bishop, "Training with
        noise is equivalent to Tikhonov regularization", Neural Computation 7, 1995).
        """
        pairs = sum(len(lesson.sources) * (len(lesson.error) - 1) for lesson in self._lessons if lesson.shown)
        return self._settings.prior_pairs / max(pairs, 1)

    def __len__(self) -> int:
        return self._settings.steps

    def __iter__(self) -> Iterator[PairMinibatch]:
        generator = torch.Generator().manual_seed(self._seed)
        for _ in range(len(self)):
            pairs = self.draw(self._settings.pairs_per_minibatch, generator)
            blur = math.sqrt(self.prior) * torch.randn(pairs.features.shape, generator=generator)
            blur[:, SHOWN] = 0  # no doubt about that
            yield replace(pairs, blur=blur)

    def draw(self, num_pairs: int, generator: torch.Generator) -> PairMinibatch:
        """Draw pairs uniformly over all lessons, not blurred."""
        sizes = torch.tensor([float(len(lesson.sources)) for lesson in self._lessons])
        chosen = torch.multinomial(sizes, num_pairs, replacement=True, generator=generator)
        parts = []
        for number, count in enumerate(torch.bincount(chosen, minlength=len(sizes)).tolist()):
            lesson = self._lessons[number]
            source = lesson.sources[torch.randint(len(lesson.sources), (count,), generator=generator)]
            target = torch.randint(len(lesson.error) - 1, (count,), generator=generator)
            target += target >= source  # any gene but the source
            features, evidence, sign = lesson.evidence.look_up(source, target, torch.full((count,), lesson.shown))
            parts.append((features, evidence, lesson.response[source, target] * sign, lesson.error[source]))
        return PairMinibatch(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


class EvidenceTrainingPlan(lightning.LightningModule):
    """The gates, their objective and their optimiser.

    Parameters
    ----------
    dataset
        Validated data.
    settings
        Of the evidence.
    seed
        Decides folds, initial weights and the pairs of every minibatch.
    """

    def __init__(self, dataset: PerturbationDataset, settings: EvidenceSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        sums = sufficient_statistics(dataset, settings.folds, seed)
        associations = Associations.of(sums)
        everything = sums.shifts(list(range(settings.folds)))
        self.evidence = PairEvidence.gather(everything, associations)
        self.stream = PairLoader(_lessons(sums, associations, self.evidence, everything), settings, seed)
        self.gates = Gates(settings.gates, settings.width, torch.Generator().manual_seed(seed))
        if self.stream.has_lessons:
            self._sample = self.stream.draw(_SAMPLE, torch.Generator().manual_seed(seed + 1))
            self.gates.standardise(self._sample.features)

    def train_dataloader(self) -> PairLoader:
        """Minibatches of pairs."""
        return self.stream

    def transfer_batch_to_device(
        self, batch: PairMinibatch, device: torch.device, dataloader_idx: int
    ) -> PairMinibatch:
        """Return the minibatch as it is: gates are small and train on the CPU."""
        return batch

    def configure_optimizers(self) -> lightning.utilities.types.OptimizerLRSchedulerConfig:
        """AdamW under one cycle of the learning rate."""
        settings = self.settings
        optimiser = torch.optim.AdamW(self.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=settings.steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def training_step(self, minibatch: PairMinibatch, step: int) -> torch.Tensor:
        """Sum of the losses of all gates: each learns as if it were alone."""
        losses = self._losses(minibatch)
        self.log("loss/held_out_shift", losses.detach().mean(), prog_bar=True)
        return losses.sum()

    def attention_after_training(self) -> GatedAttention:
        """Attention by the gates that predict the held-out shifts best; by untrained ones where nothing was shown."""
        with torch.no_grad():
            if self.stream.has_lessons:
                self.gates.keep(self._losses(self._sample).argsort()[: self.settings.gates_kept])
        return GatedAttention(self.evidence, self.gates)

    def _losses(self, minibatch: PairMinibatch) -> torch.Tensor:
        """Loss of every gate network: surprise at the held-out shifts, and the prior against uneven gates.

        Unperturbed sources need uneven gates and are shown once only: the penalty leaves them alone.
        """
        effect, departure = self.gates(minibatch.features, minibatch.evidence, minibatch.blur)
        surprise = (effect - minibatch.response) / minibatch.error
        losses = huber_loss(surprise, torch.zeros_like(surprise), reduction="none", delta=_HUBER_DELTA)
        penalty = self.stream.prior * departure * minibatch.features[:, SHOWN]
        return (losses + penalty).mean(dim=1)


def _lessons(
    sums: SufficientStatistics, associations: Associations, everything: PairEvidence, measured: PerturbationEffects
) -> list[_Lesson]:
    """Every fold held out in turn, and all perturbed sources as if they were none, where some are none.

    Gates that were only ever shown the latter would have to guess what a measured shift is worth: no lessons then.
    """
    lessons = []
    for fold in range(sums.num_folds):
        rest = sums.shifts([other for other in range(sums.num_folds) if other != fold])
        held_out = sums.shifts([fold])
        sources = np.flatnonzero(rest.perturbed & held_out.perturbed)
        # Both in the unit of the evidence, which must not know the cells held out.
        response = held_out.shift * held_out.deviation / rest.deviation
        lessons.append(_lesson(PairEvidence.gather(rest, associations), 1.0, response, held_out.error, sources))
    lessons = [lesson for lesson in lessons if len(lesson.sources)]
    if lessons and not measured.perturbed.all():
        sources = np.flatnonzero(measured.perturbed)
        lessons.append(_lesson(everything, 0.0, measured.shift, measured.error, sources))
    return lessons


def _lesson(
    evidence: PairEvidence, shown: float, response: np.ndarray, error: np.ndarray, sources: np.ndarray
) -> _Lesson:
    return _Lesson(
        evidence,
        shown,
        torch.from_numpy(np.float32(response)),
        torch.from_numpy(np.float32(error)),
        torch.from_numpy(sources),
    )
