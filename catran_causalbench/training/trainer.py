"""Training of a plan by PyTorch Lightning."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.plugins.environments import LightningEnvironment

from catran_causalbench.training.callbacks import KeepLastCheckpoint, ReportProgress, StopAtNonFiniteLoss
from catran_causalbench.training.checkpointing import CheckpointFile
from catran_causalbench.training.history import TrainingPlan
from catran_causalbench.training.run_directory import RunDirectory
from catran_causalbench.utils.distributed import launched_by_torchrun
from catran_causalbench.utils.hardware import best_device
from catran_causalbench.utils.quiet import quiet_lightning

_LOG = logging.getLogger(__name__)


def train(plan: TrainingPlan, directory: RunDirectory | None = None) -> None:
    """Train a plan in place, on a GPU if it uses one and there is one, else on the CPU.

    The plan's seed decides every random draw; torch's and numpy's global states are left alone. Processes that
    ``torchrun`` started share every minibatch of a plan that allows it; any other plan trains alike in each of them.

    Parameters
    ----------
    plan
        Is left as it is where it cannot learn.
    directory
        For logs and checkpoints, and for an interrupted run to continue from; nothing is written without it.

    Raises
    ------
    InputError
        The checkpoint of an interrupted run cannot be read, or the processes cannot share the plan.
    TrainingError
        A loss is no longer finite, the device has too little memory, or the disk is full.
    KeyboardInterrupt
        The user stopped the training; a run with a directory can be continued.
    """
    if not plan.can_learn:
        return
    options: dict[str, Any] = {"devices": 1}
    plugins: list[Any] = [CheckpointFile(directory)] if directory else []
    if launched_by_torchrun():
        options |= plan.distributed_options(int(os.environ["WORLD_SIZE"]))
    else:  # even inside a cluster's job: Lightning would count the job's tasks and requeue it
        plugins.append(LightningEnvironment())
    with quiet_lightning(), directory.needed() if directory else nullcontext(), _interruptible(directory):
        trainer = lightning.Trainer(
            **options,
            accelerator=best_device().type if plan.uses_gpu else "cpu",
            max_epochs=plan.epochs,
            logger=directory.loggers() if directory else False,
            callbacks=[
                StopAtNonFiniteLoss(plan.learning_rate_field),
                ReportProgress(),
                *([KeepLastCheckpoint(directory)] if directory else []),
            ],
            plugins=plugins,
            enable_checkpointing=directory is not None,
            enable_progress_bar=False,  # a plan of one epoch would be shown as one long step
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        trainer.fit(plan, ckpt_path=directory.checkpoint_to_resume() if directory else None, weights_only=True)


@contextmanager
def _interruptible(directory: RunDirectory | None) -> Iterator[None]:
    """Raise KeyboardInterrupt after Ctrl-C, where Lightning would end the process, and say how to continue."""
    try:
        yield
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        if directory is None:
            _LOG.warning("Stopped. Nothing was kept: set output.run_directory to be able to continue a run.")
        else:
            _LOG.warning("Stopped. To continue from the last finished epoch, start the same run again.")
        raise KeyboardInterrupt from None
