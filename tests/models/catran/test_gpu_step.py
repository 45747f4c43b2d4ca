"""A training step as it runs on a GPU, without one."""

from dataclasses import replace

import pytest
import torch
from helpers import random_data

from catran_causalbench import load_config, validate_dataset
from catran_causalbench.config import CatranSettings
from catran_causalbench.models.catran import silu_head as head
from catran_causalbench.models.catran.dataloader import MinibatchLoader
from catran_causalbench.models.catran.importance import CellStatistics
from catran_causalbench.models.catran.training_plan import CatranTrainingPlan

MASKINGS = ["shuffle_within_cell", "shuffle_within_minibatch", "zero"]


@pytest.mark.parametrize("genes", [5, 500])
@pytest.mark.parametrize(
    "settings",
    [*(CatranSettings(masking=name) for name in MASKINGS), load_config("catran").catran],
    ids=[*MASKINGS, "the preset catran"],
)
def test_the_step_waits_for_no_value(genes, settings, monkeypatch):
    """Tensors of torch's device meta have no values: reading one, as a wait for the GPU would, is an error."""
    monkeypatch.setattr(head, "compiled_head", lambda device: head.DirectHead)
    nowhere = torch.device("meta")
    dataset = validate_dataset(*random_data())
    settings = replace(settings, genes_per_minibatch=genes)
    plan = CatranTrainingPlan(dataset, settings, seed=0)
    statistics = CellStatistics.of(dataset) if settings.standardise else None
    loader = MinibatchLoader(dataset, settings, 0, nowhere, current_epoch=lambda: 0, statistics=statistics)
    plan = plan.to(nowhere)
    minibatch = loader._draw(torch.arange(loader.cells, device=nowhere), None)
    loss = plan.training_step(minibatch, 0)["loss"]
    loss.backward()
    configured = plan.configure_optimizers()
    (configured["optimizer"] if isinstance(configured, dict) else configured).step()
    with pytest.raises(RuntimeError, match="meta"):
        loss.item()
