"""Settings: the paper's values by default, every mistake refused by name."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from helpers import random_data

from catran_causalbench import fit, infer_network, validate_dataset
from catran_causalbench.config import (
    CatranConfig,
    CatranSettings,
    DcdiSettings,
    EvidenceSettings,
    OutputSettings,
    load_config,
    preset_descriptions,
    presets,
)
from catran_causalbench.errors import InputError
from catran_causalbench.simulation.to_anndata import simulate_anndata


def write(directory, text):
    path = directory / "settings.yaml"
    path.write_text(text)
    return str(path)


def test_the_defaults_are_the_papers():
    config = load_config("paper")
    assert config.model == "catran"
    assert config.catran == CatranSettings()
    settings = config.catran
    assert (settings.embedding_size, settings.token) == (40, "joined")
    assert (settings.epochs, settings.learning_rate, settings.weight_decay) == (25, 0.001, 0.05)
    assert (settings.cells_per_minibatch, settings.genes_per_minibatch) == (2048, 500)
    assert (settings.masked_weight, settings.unmasked_weight) == (0.7, 0.3)
    assert (settings.masked_fraction, settings.masking) == (0.8, "shuffle_within_cell")
    assert (config.output.edges, config.output.benchmark_edges) == (None, 1000)


def test_the_default_preset_learns_from_evidence():
    assert load_config() == CatranConfig()
    assert load_config().to_mapping() == load_config("evidence").to_mapping()


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads(name):
    load_config(name)


def test_a_file_names_only_what_it_changes(tmp_path):
    config = load_config(write(tmp_path, "evidence:\n  steps: 3\n"))
    assert config == CatranConfig(evidence=EvidenceSettings(steps=3))


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load_config(write(tmp_path, "# nothing\n")) == CatranConfig()


def test_the_environment_chooses(tmp_path, monkeypatch):
    monkeypatch.setenv("CATRAN_CONFIG", write(tmp_path, "output:\n  edges: 7\n"))
    monkeypatch.setenv("CATRAN_RUN_DIRECTORY", "somewhere")
    assert load_config().output == OutputSettings(edges=7, run_directory="somewhere")


@pytest.mark.parametrize(
    "config",
    [
        CatranConfig(model="catran", catran=CatranSettings(learning_rate=0.5)),
        CatranConfig(evidence=EvidenceSettings(disabled_features=("source_activity", "target_activity"))),
        CatranConfig(evidence=EvidenceSettings(), dcdi=DcdiSettings(training_share=0.1)),
    ],
)
def test_yaml_and_back(tmp_path, config):
    assert load_config(write(tmp_path, config.to_yaml())) == config


@pytest.mark.parametrize(
    ("values", "section"),
    [({"catran": {"epochs": 3}}, "catran"), ({"model": "catran", "evidence": {}}, "evidence")],
)
def test_the_section_of_another_model_is_refused(values, section):
    with pytest.raises(InputError, match=rf"config: found the section {section} beside model: "):
        CatranConfig.from_mapping(values)


@pytest.mark.parametrize(
    ("method", "values"),
    [("random", {"evidence": {}}), ("catran", {"dcdi": {}}), ("guanlab", {"model": "catran", "catran": {}})],
)
def test_a_section_that_the_method_does_not_use_is_refused(method, values):
    with pytest.raises(InputError, match=rf"config: found the section .* method {method}"):
        infer_network(validate_dataset(*random_data()), CatranConfig.from_mapping(values), method=method)


BAD_SETTINGS = {
    "evidence:\n  step: 3\n": "found unknown key evidence.step; expected evidence.steps, perhaps",
    "evidense:\n  steps: 3\n": "found unknown key evidense; expected evidence, perhaps",
    "zzz: 1\n": "found unknown key zzz; expected one of model, data",
    "model: paper\n": "model: found 'paper'; expected one of evidence, catran",
    "evidence:\n  steps: many\n": "evidence.steps: found str 'many'; expected a whole number",
    "evidence:\n  steps: 2.5\n": "evidence.steps: found float 2.5; expected a whole number",
    "evidence:\n  steps: true\n": "evidence.steps: found bool True; expected a whole number",
    "evidence:\n  steps: 0\n": "evidence.steps: found 0; expected a whole number at least 1",
    "evidence:\n  learning_rate: 1e-3\n": r"found str '1e-3'; expected a number \(YAML reads 1e-3 as text",
    "evidence:\n  learning_rate: 0\n": "evidence.learning_rate: found 0; expected a number above 0 and at most 1",
    "evidence:\n  learning_rate: .nan\n": "evidence.learning_rate: found nan; expected a number above 0",
    "evidence:\n  disabled_terms: effect\n": "evidence.disabled_terms: found str 'effect'; expected a list",
    "evidence:\n  disabled_terms: [nonsense]\n": "evidence.disabled_terms: found 'nonsense'; expected one of effect,",
    "evidence:\n  disabled_terms: [effect, effect]\n": "evidence.disabled_terms: .* expected distinct",
    "model: catran\ncatran:\n  masked_fraction: 1.2\n": "found 1.2; expected a number at least 0 and at most 1",
    "model: catran\ncatran:\n  masking: shuffle\n": "found 'shuffle'; expected one of shuffle_within_cell,",
    "model: catran\ncatran:\n  importance_gradient: 1\n": "found int 1; expected true or false",
    "evidence: 3\n": r"found int 3 for evidence; expected a mapping with keys folds",
    "dcdi: {training_share: 1.5}\n": "dcdi.training_share: found 1.5; expected a number above 0 and at most 1",
    "- a\n- b\n": "for the file; expected a mapping with keys model, data",
    "evidence: {steps: 3\n": "found no readable YAML",
    "evidence: !!python/object/apply:os.getcwd []\n": "found no readable YAML",
}


@pytest.mark.parametrize("text", BAD_SETTINGS)
def test_bad_settings_are_refused_by_name(tmp_path, text):
    with pytest.raises(InputError, match=BAD_SETTINGS[text]) as refusal:
        load_config(write(tmp_path, text))
    assert "settings.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


PARSED = {text: yaml.safe_load(text) for text in BAD_SETTINGS if "no readable YAML" not in BAD_SETTINGS[text]}


@pytest.mark.parametrize("text", [text for text in PARSED if isinstance(PARSED[text], dict)])
def test_bad_mappings_are_refused_in_the_same_words(text):
    with pytest.raises(InputError, match=BAD_SETTINGS[text]) as refusal:
        infer_network(None, PARSED[text])
    assert str(refusal.value).startswith("config: ")


@pytest.mark.parametrize("settings", [["evidence"], 3, "evidence: {steps: 3}"])
def test_what_is_no_source_of_settings_is_refused(settings):
    with pytest.raises(InputError, match=r"^config: found .*; expected .*path of a YAML file"):
        load_config(settings)


def test_a_mapping_is_read_like_a_file(tmp_path, monkeypatch):
    values = {"evidence": {"steps": np.int64(2), "disabled_terms": ["effect"]}, "output": {"edges": 7}}
    path = write(tmp_path, "evidence: {steps: 2, disabled_terms: [effect]}\noutput: {edges: 7}\n")
    assert load_config(values) == load_config(path) == load_config(load_config(path))
    dataset = validate_dataset(*random_data())
    network = infer_network(dataset, values)
    assert network.config.to_mapping()["evidence"]["steps"] == 2
    assert len(network.edges()) == 7
    assert network.edges().equals(infer_network(dataset, path).edges())
    assert values["output"] == {"edges": 7}, "the mapping is left as it is"
    monkeypatch.setenv("CATRAN_RUN_DIRECTORY", "somewhere")
    assert load_config(values).output == OutputSettings(edges=7, run_directory="somewhere")


def test_fit_takes_a_mapping():
    adata = simulate_anndata(genes=10, cells=1600, seed=0)
    options = {"perturbation_key": "target_gene", "method": "mean_difference"}
    assert len(fit(adata, **options, config={"output": {"edges": 4}}).edges()) == 4
    with pytest.raises(InputError, match=r"config: found unknown key output\.edge; expected output\.edges, perhaps"):
        fit(adata, **options, config={"output": {"edge": 4}})


def test_a_missing_file_is_named_with_the_presets():
    with pytest.raises(InputError, match=r"neither a preset nor a file 'nowhere.yaml'; expected one of .*paper"):
        load_config("nowhere.yaml")


def test_python_settings_are_checked_too():
    with pytest.raises(InputError, match=r"catran\.epochs: found -1"):
        CatranSettings(epochs=-1)


def quick(config):
    """The same settings with as little training as there can be."""
    if config.model == "catran":
        return replace(config, catran=replace(config.catran, epochs=1, steps=None))
    return replace(config, evidence=replace(config.evidence or EvidenceSettings(), steps=2))


@pytest.mark.filterwarnings("ignore:.*edges were asked for")
@pytest.mark.parametrize("name", presets())
def test_every_preset_trains(name):
    network = infer_network(validate_dataset(*random_data()), quick(load_config(name)))
    assert len(network.edges(complete=True)) == 12 * 11


def test_no_two_presets_are_alike():
    configs = {name: load_config(name) for name in presets()}
    assert {"catran", "demo", "evidence", "fast-preview", "genome-wide", "gpu", "paper"} <= set(configs)
    assert len({config.to_yaml() for config in configs.values()}) == len(configs)


def test_every_preset_says_what_it_is_for():
    for name, description in preset_descriptions().items():
        assert 20 < len(description) < 115, name


def test_bigger_minibatches_take_as_many_steps():
    paper, gpu = load_config("paper").catran, load_config("gpu").catran
    assert gpu.cells_per_minibatch / paper.cells_per_minibatch == gpu.epochs / paper.epochs > 1
