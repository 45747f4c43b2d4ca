"""A training step as it runs on a GPU, without one."""

import pytest
import torch
from helpers import random_data

from catran_causalbench import validate_dataset
from catran_causalbench.config import CatranSettings
from catran_causalbench.models.catran import silu_head as head
from catran_causalbench.models.catran.dataloader import MinibatchLoader
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan


@pytest.mark.parametrize("genes", [5, 500])
@pytest.mark.parametrize("masking", ["shuffle_within_cell", "shuffle_within_minibatch", "zero"])
def test_the_step_waits_for_no_value(genes, masking, monkeypatch):
    """Tensors of torch's device meta have no values: reading one, as a wait for the GPU would, is an error."""
    monkeypatch.setattr(head, "compiled_head", lambda device: head.DirectHead)
    nowhere = torch.device("meta")
    dataset = validate_dataset(*random_data())
    settings = CatranSettings(genes_per_minibatch=genes, masking=masking)
    loader = MinibatchLoader(dataset, settings, 0, nowhere, current_epoch=lambda: 0)
    plan = CatranTrainingPlan(dataset, settings, seed=0).to(nowhere)
    minibatch = loader._draw(torch.arange(loader.cells, device=nowhere), None)
    loss = plan.training_step(minibatch, 0)["loss"]
    loss.backward()
    plan.configure_optimizers().step()
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()
