"""Progress of a fit: a few plain lines where the output is piped, a bar on a terminal, nothing if told to be quiet."""

import pytest
from rich.progress import Progress
from typer.testing import CliRunner

from catran_causalbench.cli import app, stages
from catran_causalbench.simulation.to_anndata import simulate_anndata
from catran_causalbench.utils.progress import report


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    path = tmp_path_factory.mktemp("stages") / "screen.h5ad"
    simulate_anndata(genes=10, cells=1600, seed=0).write_h5ad(path)
    (path.parent / "quick.yaml").write_text("evidence: {steps: 5, gates: 2, pairs_per_minibatch: 64}")
    return path


def fit(screen, output, *options):
    words = ["fit", screen, "-o", output, "--perturbation-key", "target_gene", "--config", screen.parent / "quick.yaml"]
    result = CliRunner().invoke(app, [str(word) for word in (*words, *options)])
    assert result.exit_code == 0, result.output
    return result


def test_piped_output_names_each_stage_once(screen, tmp_path):
    lines = fit(screen, tmp_path / "network").stderr.splitlines()
    stages_shown = [line for line in lines if line.endswith("…")]
    assert stages_shown == [
        "Reading the cells …",
        "Preparing the model, with sums over all cells …",
        "Training …",
    ]
    assert "Epoch" not in "\n".join(lines)


def test_a_baseline_has_stages_too_and_quiet_has_none(screen, tmp_path):
    plain = ["fit", str(screen), "--perturbation-key", "target_gene", "--method", "mean_difference"]
    result = CliRunner().invoke(app, [*plain, "--output", str(tmp_path / "one")])
    assert "Scoring all pairs by mean_difference …" in result.stderr.splitlines()
    result = CliRunner().invoke(app, [*plain, "--output", str(tmp_path / "two"), "--quiet"])
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_bar_shows_how_much_of_a_stage_is_done(monkeypatch):
    shown = []
    monkeypatch.setattr(stages, "show_progress", lambda quiet: True)
    monkeypatch.setattr(Progress, "update", lambda self, task, **values: shown.append(values))
    with stages.stages_shown(quiet=False):
        report("Reading the cells", 3, 10)
        report("Preparing the model")
    report("nobody listens any more")
    assert shown == [
        {"description": "Reading the cells", "completed": 3, "total": 10},
        {"description": "Preparing the model", "completed": 0, "total": None},
    ]


def test_a_fit_in_python_prints_nothing(screen, capsys):
    import catran_causalbench as catran

    catran.fit(screen, perturbation_key="target_gene", method="mean_difference")
    assert capsys.readouterr() == ("", "")
