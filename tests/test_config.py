"""Settings: the paper's values by default, every mistake refused by name."""

import json
from dataclasses import replace

import pytest
from helpers import random_data
from typer.testing import CliRunner

from catran_causalbench import infer_network, validate_dataset
from catran_causalbench.cli import app
from catran_causalbench.config import (
    AttentionSettings,
    CatranConfig,
    OutputSettings,
    TrainingSettings,
    load_config,
    preset_descriptions,
    presets,
)
from catran_causalbench.errors import InputError


def write(folder, text):
    path = folder / "settings.yaml"
    path.write_text(text)
    return str(path)


def test_the_defaults_are_the_papers():
    config = load_config("paper")
    assert config.attention.learned_from == "minibatches"
    assert replace(config, attention=AttentionSettings()) == CatranConfig()
    assert (config.network.embedding_size, config.network.token) == (40, "joined")
    training = config.training
    assert (training.epochs, training.learning_rate, training.weight_decay) == (25, 0.001, 0.05)
    assert (training.cells_per_minibatch, training.genes_per_minibatch) == (2048, 500)
    assert (config.loss.masked_weight, config.loss.unmasked_weight) == (0.7, 0.3)
    assert (config.corruption.masked_fraction, config.corruption.method) == (0.8, "shuffle_within_cell")
    assert config.output.edges == 1000


def test_the_default_preset_learns_from_evidence():
    assert load_config() == load_config("evidence") == CatranConfig()


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads(name):
    load_config(name)


def test_a_file_names_only_what_it_changes(tmp_path):
    config = load_config(write(tmp_path, "training:\n  epochs: 3\n"))
    assert config == CatranConfig(training=TrainingSettings(epochs=3))


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load_config(write(tmp_path, "# nothing\n")) == CatranConfig()


def test_the_environment_chooses(tmp_path, monkeypatch):
    monkeypatch.setenv("CATRAN_CONFIG", write(tmp_path, "output:\n  edges: 7\n"))
    monkeypatch.setenv("CATRAN_RUN_DIRECTORY", "somewhere")
    assert load_config().output == OutputSettings(edges=7, run_directory="somewhere")


def test_yaml_and_back(tmp_path):
    config = CatranConfig(training=TrainingSettings(learning_rate=0.5))
    assert load_config(write(tmp_path, config.to_yaml())) == config


BAD_SETTINGS = {
    "training:\n  epoch: 3\n": "found unknown key training.epoch; expected training.epochs, perhaps",
    "trainning:\n  epochs: 3\n": "found unknown key trainning; expected training, perhaps",
    "zzz: 1\n": "found unknown key zzz; expected one of data, attention",
    "training:\n  epochs: many\n": "training.epochs: found str 'many'; expected a whole number",
    "training:\n  epochs: 2.5\n": "training.epochs: found float 2.5; expected a whole number",
    "training:\n  epochs: true\n": "training.epochs: found bool True; expected a whole number",
    "training:\n  epochs: 0\n": "training.epochs: found 0; expected a number at least 1",
    "training:\n  learning_rate: 1e-3\n": r"found str '1e-3'; expected a number \(YAML reads 1e-3 as text",
    "training:\n  learning_rate: 0\n": "training.learning_rate: found 0; expected a number above 0 and at most 1",
    "training:\n  learning_rate: .nan\n": "training.learning_rate: found nan; expected a number above 0",
    "corruption:\n  masked_fraction: 1.2\n": "found 1.2; expected a number at least 0 and at most 1",
    "corruption:\n  method: shuffle\n": "found 'shuffle'; expected one of shuffle_within_cell,",
    "loss:\n  importance_gradient: 1\n": "found int 1; expected true or false",
    "loss: 3\n": r"found int 3 for loss; expected a mapping with keys masked_weight",
    "- a\n- b\n": "for the file; expected a mapping with keys data, attention",
    "training: {epochs: 3\n": "found no readable YAML",
    "training: !!python/object/apply:os.getcwd []\n": "found no readable YAML",
}


@pytest.mark.parametrize("text", BAD_SETTINGS)
def test_bad_settings_are_refused_by_name(tmp_path, text):
    with pytest.raises(InputError, match=BAD_SETTINGS[text]) as refusal:
        load_config(write(tmp_path, text))
    assert "settings.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_named_with_the_presets():
    with pytest.raises(InputError, match=r"neither a preset nor a file 'nowhere.yaml'; expected one of .*paper"):
        load_config("nowhere.yaml")


def test_python_settings_are_checked_too():
    with pytest.raises(InputError, match=r"training\.epochs: found -1"):
        TrainingSettings(epochs=-1)


def quick(config):
    """The same settings with as little training as there can be."""
    training = replace(config.training, epochs=1)
    return replace(config, training=training, evidence=replace(config.evidence, steps=2))


@pytest.mark.filterwarnings("ignore:.*edges were asked for")
@pytest.mark.parametrize("name", presets())
def test_every_preset_trains(name):
    network = infer_network(validate_dataset(*random_data()), quick(load_config(name)))
    assert len(network.edges()) == 12 * 11


def test_no_two_presets_are_alike():
    configs = {name: load_config(name) for name in presets()}
    assert {"demo", "evidence", "fast-preview", "genome-wide", "gpu", "paper"} <= set(configs)
    assert len({config.to_yaml() for config in configs.values()}) == len(configs)


def test_every_preset_says_what_it_is_for():
    for name, description in preset_descriptions().items():
        assert 20 < len(description) < 115, name


def test_bigger_minibatches_take_as_many_steps():
    paper, gpu = load_config("paper").training, load_config("gpu").training
    assert gpu.cells_per_minibatch / paper.cells_per_minibatch == gpu.epochs / paper.epochs > 1


def test_presets_are_listed_in_a_column_and_as_json():
    listed = CliRunner().invoke(app, ["presets"]).output.splitlines()
    width = max(map(len, presets())) + 2
    assert [line[:width].strip() for line in listed] == presets()
    assert [line[width:] for line in listed] == list(preset_descriptions().values())
    assert json.loads(CliRunner().invoke(app, ["presets", "--json"]).output) == preset_descriptions()
