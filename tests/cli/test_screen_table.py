"""What `fit` and `convert` say of a screen before they work, and their options for labels and names of genes."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench import InputError
from catran_causalbench.cli import app
from catran_causalbench.simulation.to_anndata import simulate_anndata

QUICK = ("--method", "mean_difference")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Write a screen of 10 genes; 10 cells are labelled with two genes, 4 with an unmeasured one, 3 not at all."""
    path = tmp_path_factory.mktemp("clean") / "screen.h5ad"
    adata = simulate_anndata(genes=10, cells=1600, seed=0)
    labels = adata.obs["target_gene"].astype(str).to_numpy(object)
    cells = np.flatnonzero(labels == "SIM3")
    labels[cells[:10]], labels[cells[10:14]], labels[cells[14:17]] = "SIM3+SIM4", "ZZZ", None
    adata.obs["target_gene"] = labels
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def odd(clean):
    """Write the same cells with names of guides, two labels of controls, pairs by |, and ids for names of genes."""
    adata = anndata.read_h5ad(clean)
    labels = adata.obs["target_gene"].astype(object).where(adata.obs["target_gene"].notna(), None)
    labels = [
        {"non-targeting": ("NTC_1", "safe")[cell % 2], "SIM3+SIM4": "SIM3_g1|SIM4_g2"}.get(label)
        or (label if label in (None, "excluded") else f"{label}_g{cell % 3}")
        for cell, label in enumerate(labels)
    ]
    var = pd.DataFrame({"mine": adata.var_names}, index=[f"G{number}" for number in range(adata.n_vars)])
    path = clean.parent / "odd.h5ad"
    anndata.AnnData(adata.X, obs=pd.DataFrame({"guide": labels}, adata.obs_names), var=var).write_h5ad(path)
    return path


ODD = (
    *("--perturbation-key", "guide", "--control", "NTC", "--control", "safe", "--label-pattern", "guide-number"),
    *("--combination-separator", "|", "--gene-names", "mine"),
)


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def table(text):
    """Return the rows of the table in a text: words → number."""
    rows = [line.removeprefix("cells").removeprefix("genes").rsplit(maxsplit=1) for line in text.splitlines()]
    numbers = {row[0].strip(): row[1].replace(",", "") for row in rows if len(row) == 2}
    return {words: int(number) for words, number in numbers.items() if number.isdecimal()}


def rows(cells, sources, targets):
    kinds = {
        "perturbed": "perturbed",
        "control": "control",
        "combined": "excluded: several perturbed genes",
        "other": "excluded: another gene than those considered",
        "unmeasured": "excluded: no measured gene in the label",
        "unlabelled": "excluded: no label",
        "uncontrolled": "excluded: no control in the batch",
    }
    return {
        **{kinds[kind]: number for kind, number in cells.items()},
        "sources (perturbed)": sources,
        "targets": targets,
    }


@pytest.mark.guarantee("Input", "`fit` and `convert` print what the cells of a screen count as before they work.")
def test_fit_and_convert_print_the_table(clean, tmp_path):
    result = run("fit", clean, "-o", tmp_path / "network", "--perturbation-key", "target_gene", *QUICK, "--json")
    cells = json.loads(result.stdout)["cells"]
    assert (cells["combined"], cells["unmeasured"], cells["unlabelled"]) == (10, 4, 3)
    assert sum(cells.values()) == 1600
    expected = rows(cells, 10, 10)
    assert table(result.stderr) == expected
    result = run("convert", clean, "-o", tmp_path / "data", "--perturbation-key", "target_gene")
    assert table(result.stderr) == expected
    some = run(
        "fit", clean, "-o", tmp_path / "some", "--perturbation-key", "target_gene", "--genes", "SIM1,SIM4", *QUICK
    )
    assert table(some.stderr)["excluded: another gene than those considered"] > 1000


def test_the_table_comes_before_training(clean, tmp_path, monkeypatch):
    def fail(*_):
        raise InputError.of("seed", "work", "none")

    monkeypatch.setattr("catran_causalbench.inference.infer_network", fail)
    result = run("fit", clean, "-o", tmp_path / "network", "--perturbation-key", "target_gene", code=2)
    assert table(result.stderr)["targets"] == 10
    assert result.stderr.endswith("--seed: found work; expected none\n")


def test_quiet_commands_print_no_table(clean, tmp_path):
    result = run("fit", clean, "-o", tmp_path / "network", "--perturbation-key", "target_gene", *QUICK, "--quiet")
    assert result.stderr == ""
    result = run("convert", clean, "-o", tmp_path / "data", "--perturbation-key", "target_gene", "--quiet")
    assert (result.stderr, result.stdout.count("\n")) == ("", 1)


def test_only_one_of_several_processes_prints_it(clean, tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    result = run("convert", clean, "-o", tmp_path / "data", "--perturbation-key", "target_gene")
    assert table(result.stderr) == {}


def test_the_options_give_the_edges_of_the_clean_file(clean, odd, tmp_path):
    runs = [
        run("fit", clean, "-o", tmp_path / "clean", "--perturbation-key", "target_gene", *QUICK, "--json"),
        run("fit", odd, "-o", tmp_path / "odd", *ODD, *QUICK, "--json"),
    ]
    clean_cells, odd_cells = (json.loads(result.stdout)["cells"] for result in runs)
    assert odd_cells == clean_cells
    assert (tmp_path / "odd" / "edges.csv").read_text() == (tmp_path / "clean" / "edges.csv").read_text()
    run("convert", odd, "-o", tmp_path / "data", *ODD)
    description = json.loads((tmp_path / "data" / "description.json").read_text())
    assert description["shape"]["controls"] == 160
    options = ("control", "label_pattern", "combination_separator", "gene_names")
    assert [description[option] for option in options] == [["NTC", "safe"], "guide-number", "|", "mine"]
    names = anndata.read_h5ad(tmp_path / "data" / "k562.h5ad").var["gene_name"]
    assert names.to_dict() == {f"G{number}": f"SIM{number}" for number in range(10)}


def test_messages_name_options(clean, odd, tmp_path):
    result = run("convert", clean, "-o", tmp_path / "data", "--perturbation-key", "target_gene")
    assert result.stderr.splitlines()[1] == (  # after "Reading the cells …"
        "Warning: 1 of 12 labels name no measured gene, and their 4 cells are excluded: 'ZZZ' (4), where var_names has "
        "'SIM0', 'SIM1', 'SIM2'; if they mean genes, see --label-pattern REGEX, --combination-separator TEXT and "
        "--gene-names COLUMN"
    )
    result = run("fit", odd, "-o", tmp_path / "network", "--perturbation-key", "guide", "--control", "safe", code=2)
    assert result.stderr.startswith("Error: --perturbation-key: found no label that names one measured gene")
    assert (
        "; with --label-pattern guide-number and --combination-separator '|' and --gene-names mine, " in result.stderr
    )
