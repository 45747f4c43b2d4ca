"""Warnings and errors of the command line: one line each, in the words of its options."""

import warnings

import pytest
from typer.testing import CliRunner

from catran_causalbench import inference
from catran_causalbench.cli import app
from catran_causalbench.cli.fit import fit as fit_command
from catran_causalbench.cli.wording import in_option_words
from catran_causalbench.simulation.to_anndata import simulate_anndata


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("or counts=True to have", "or --counts to have"),
        ("raw counts, or counts=False", "raw counts, or no --counts"),
        ("genes='all' or genes=\"a b\"", "--genes all or --genes 'a b'"),
        ("lower min_cells=100.", "lower --min-cells 100."),
        ("discounts=True, counts = True, other=True, counts", "discounts=True, counts = True, other=True, counts"),
    ],
)
def test_arguments_become_options(text, expected):
    assert in_option_words(text, fit_command) == expected


@pytest.fixture
def screen(tmp_path):
    adata = simulate_anndata(genes=10, cells=1600, seed=0)
    labels = adata.obs["target_gene"].astype(str)
    labels.iloc[:7] = "SIM0+SIM1"
    adata.obs["target_gene"] = labels
    adata.write_h5ad(tmp_path / "screen.h5ad")
    return tmp_path / "screen.h5ad"


def fit(screen, *options):
    arguments = ["fit", screen, "-o", screen.parent / "network", "--perturbation-key", "target_gene", *options]
    return CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--method", "mean_difference")])


def test_a_warning_is_a_line(screen):
    before = warnings.showwarning
    result = fit(screen)
    assert result.exit_code == 0, result.output
    assert "Warning: 7 cells with several targets ('+' in the label) are excluded: no single" in result.stderr
    assert not {"UserWarning", "warn(", ".py"} & {*result.stderr.split()}
    assert ".py:" not in result.stderr
    assert warnings.showwarning is before


def test_an_error_names_the_option(screen):
    result = fit(screen, "--layer", "counts")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(
        "log-normalised values, or --counts to have raw counts log-normalised"
    )


def test_warnings_of_libraries_are_lines_too(screen, monkeypatch):
    def warns(*_, **__):
        warnings.warn("first\n  second", FutureWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, "fit", warns)
    result = fit(screen)
    assert result.exit_code == 130
    assert result.stderr == "Warning: first second\nInterrupted.\n"
