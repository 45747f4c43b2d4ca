"""Sizes and difficulties by name."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.causal_model import sample_causal_model
from catran_causalbench.simulation.expression import true_effects
from catran_causalbench.simulation.presets import difficulty_of, size_preset, with_difficulty


def test_sizes_are_those_of_the_real_data_sets():
    assert (size_preset("rpe1").genes, size_preset("rpe1").cells) == (383, 92_000)
    assert (size_preset("k562").genes, size_preset("k562").cells) == (622, 129_000)
    with pytest.raises(InputError, match=r"^size: found 'hepg2'; expected one of tiny"):
        size_preset("hepg2")


def test_difficulties_change_the_cells_not_their_number():
    easy, standard, hard = (with_difficulty(size_preset("tiny"), name) for name in ("easy", "standard", "hard"))
    assert standard == size_preset("tiny")
    assert {easy.cells, hard.cells} == {standard.cells}
    sizes = [np.abs(true_effects(sample_causal_model(settings, 2))).sum() for settings in (easy, standard, hard)]
    assert sizes[0] > 1.2 * sizes[1] > 1.4 * sizes[2]
    with pytest.raises(InputError, match="difficulty: found 'absurd'; expected one of easy, standard, hard"):
        with_difficulty(standard, "absurd")


def test_a_difficulty_is_recognised_at_any_size():
    settings = replace(size_preset("tiny"), cells=5_000)
    for name in ("easy", "standard", "hard"):
        assert difficulty_of(asdict(with_difficulty(settings, name))) == name


def test_data_sets_of_different_difficulty_have_different_titles_and_settings(tmp_path):
    described = {}
    for name in ("easy", "standard", "hard"):
        arguments = ["simulate", "--output", str(tmp_path / name), "--size", "tiny", "--difficulty", name]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        described[name] = json.loads((tmp_path / name / "description.json").read_text())
    assert "30 genes, 4,500 cells, hard, seed 0" in described["hard"]["title"]
    assert len({one["title"] for one in described.values()}) == 3
    assert len({str(one["settings"]) for one in described.values()}) == 3
