"""Training of the module on masked expression: its minibatches, objective and optimiser (paper §1.2 to §1.4)."""

from __future__ import annotations

import os
from typing import Any

import torch
from lion_pytorch.foreach import Lion

from catran_causalbench.data.dataset import PerturbationDataset
from catran_causalbench.errors import InputError
from catran_causalbench.models.catran.config import CatranSettings
from catran_causalbench.models.catran.dataloader import Minibatch, MinibatchLoader
from catran_causalbench.models.catran.factored_module import FactoredCatranModule
from catran_causalbench.models.catran.importance import CellStatistics
from catran_causalbench.models.catran.losses import Losses, catran_losses
from catran_causalbench.models.catran.module import CatranModule
from catran_causalbench.models.catran.readout import ExpectedEffects
from catran_causalbench.training.history import TrainingPlan
from catran_causalbench.utils.distributed import all_agree, num_processes


class CatranTrainingPlan(TrainingPlan):
    """CaTran's module, objective and optimiser; the seed decides the initial weights and all draws of minibatches."""

    importance: torch.Tensor | None

    def __init__(self, dataset: PerturbationDataset, settings: CatranSettings, seed: int) -> None:
        super().__init__(_epochs(settings, dataset.num_cells), "catran.learning_rate", uses_gpu=True)
        module = FactoredCatranModule if settings.implementation == "factored" else CatranModule
        generator = torch.Generator().manual_seed(seed)
        self._statistics = CellStatistics.of(dataset) if settings.uses_statistics else None
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global state before they are filled
            self.module = module(
                dataset.num_genes,
                settings.embedding_size,
                settings.token,
                generator,
                initial_deviation=settings.initial_deviation,
                self_attention=settings.self_attention,
                directed=settings.directed,
                signs=self._statistics.signs if self._statistics and settings.signed_mixing else None,
            )
        measured = None
        if self._statistics and settings.importance == "effects":
            measured = torch.stack([self._statistics.importance, self._statistics.association])
        self.register_buffer("importance", measured, persistent=False)
        self.settings = settings
        self.dataset = dataset
        self._seed = seed
        self._losses: list[torch.Tensor] = []

    def train_dataloader(self) -> MinibatchLoader:
        """Return the minibatches of the current epoch, drawn on the device of the module."""
        self._loader = MinibatchLoader(
            self.dataset,
            self.settings,
            self._seed,
            self.device,
            current_epoch=lambda: self.current_epoch,
            statistics=self._statistics if self.settings.standardise else None,
        )
        return self._loader

    def transfer_batch_to_device(self, batch: Minibatch, device: torch.device, dataloader_idx: int) -> Minibatch:
        """Return the minibatch as it is: it was drawn on the device."""
        return batch

    def configure_optimizers(self) -> Any:
        """Return Lion (paper §1.2), and the schedule of its learning rate if it is not constant."""
        lion = Lion(self.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay)
        if self.settings.learning_rate_schedule == "constant":
            return lion
        steps = self.epochs * self.settings.steps_per_epoch(self.dataset.num_cells)
        schedule = torch.optim.lr_scheduler.LambdaLR(lion, lambda step: 1 - step / steps)
        return {"optimizer": lion, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, minibatch: Minibatch, step: int) -> dict[str, torch.Tensor]:
        """Return a minibatch's loss, and all its terms for the history."""
        prediction, attention = self.module(minibatch.masked_expression, minibatch.genes)
        losses = catran_losses(prediction, attention, minibatch, self.settings, self.importance)
        return {"loss": losses.total, "terms": torch.stack([term.detach() for term in losses])}

    def optimizer_step(self, epoch: int, step: int, optimizer: Any, closure: Any = None) -> None:
        """Update the weights; repeat the forward and backward pass if the device runs out of memory.

        The weights do not change before both are done. Only the running statistics of the batch norms count such a
        minibatch twice, and attention does not depend on them. One of several processes repeats nothing: the others
        expect its messages in a fixed order.
        """
        alone = num_processes() == 1
        super().optimizer_step(epoch, step, optimizer, lambda: self._loader.with_memory(closure, again=alone))

    def on_train_start(self) -> None:
        """Make sure that all processes continue from the same epoch.

        Raises
        ------
        InputError
            They found different checkpoints.
        """
        if not all_agree(self.current_epoch, self.device):
            found = f"a checkpoint after epoch {self.current_epoch} that other processes do not find"
            raise InputError.of("output.run_directory", found, "a directory on a disk that all machines share")

    def on_fit_end(self) -> None:
        """Free the device memory that holds the cells."""
        self._loader.release()

    def on_train_batch_end(self, outputs: Any, batch: Any, step: int) -> None:
        """Keep the losses on the device until the epoch ends, so that no step waits for their transfer."""
        self._losses.append(outputs["terms"])

    def on_train_epoch_end(self) -> None:
        """Record the epoch's mean of every loss term."""
        means = torch.stack(self._losses).mean(dim=0).cpu()
        self._losses.clear()
        self.record(
            self.global_step - 1, {f"loss/{term}": mean for term, mean in zip(Losses._fields, means, strict=True)}
        )

    def distributed_options(self, processes: int) -> dict[str, Any]:
        """Return options for processes that share every minibatch.

        Raises
        ------
        InputError
            These settings or cells cannot be shared.
        """
        for field, found, possible in (
            ("catran.implementation", self.settings.implementation, ("factored",)),
            ("catran.masking", self.settings.masking, ("shuffle_within_cell", "zero")),
        ):
            if found not in possible:
                expected = f"{' or '.join(map(repr, possible))}, or one process"
                raise InputError.of(field, f"{found!r} in {processes} processes", expected)
        cells = min(self.settings.cells_per_minibatch, self.dataset.num_cells)
        if cells % processes:
            found = f"minibatches of {cells} cells"
            raise InputError.of("catran.cells_per_minibatch", found, f"a multiple of the {processes} processes")
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"strategy": "ddp", "devices": local, "num_nodes": processes // local, "use_distributed_sampler": False}

    def trained_module(self) -> CatranModule | ExpectedEffects:
        """Return the module on the CPU, to read out its attention or the effects that follow from it."""
        module = self.module.cpu().eval()
        if self.settings.edge_weight == "attention" or self._statistics is None:
            return module
        controls = torch.from_numpy(self.dataset.control_cells())
        genes = torch.arange(self.dataset.num_genes)
        return ExpectedEffects(module, self._statistics, self._statistics.standardise(controls, genes))


def _epochs(settings: CatranSettings, num_cells: int) -> int:
    """Return the number of passes over the cells, for a number of steps where one is set."""
    if settings.steps is None:
        return settings.epochs
    return -(-settings.steps // settings.steps_per_epoch(num_cells))
