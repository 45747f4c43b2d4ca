"""A training step as it runs on a GPU, without one."""

from dataclasses import replace

import pytest
import torch
from helpers import random_data

from catran_causalbench import load_config, validate_dataset
from catran_causalbench.models.catran import silu_head as head
from catran_causalbench.models.catran.dataloader import MinibatchLoader
from catran_causalbench.training.trainer import CatranTrainingPlan


@pytest.mark.parametrize("genes", [5, 500])
@pytest.mark.parametrize("method", ["shuffle_within_cell", "shuffle_within_minibatch", "zero"])
def test_the_step_waits_for_no_value(genes, method, monkeypatch):
    """Tensors of torch's device meta have no values: reading one, as a wait for the GPU would, is an error."""
    monkeypatch.setattr(head, "compiled_head", lambda device: head.DirectHead)
    nowhere = torch.device("meta")
    dataset = validate_dataset(*random_data())
    config = load_config("paper")
    training = replace(config.training, genes_per_minibatch=genes)
    stream = MinibatchLoader(
        dataset, training, replace(config.corruption, method=method), 0, nowhere, current_epoch=lambda: 0
    )
    catran = CatranTrainingPlan(dataset, config, seed=0).to(nowhere)
    minibatch = stream._draw(torch.arange(stream.cells, device=nowhere), None)
    loss = catran.training_step(minibatch, 0)["loss"]
    loss.backward()
    catran.configure_optimizers().step()
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()
