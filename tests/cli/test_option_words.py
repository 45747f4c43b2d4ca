"""Messages in the words of the command line: fields, lists, empty values and placeholders become options."""

import os
import subprocess
import sys

import pytest
from helpers import REPOSITORY
from typer.main import get_command

from catran_causalbench.cli import app
from catran_causalbench.cli.data import convert
from catran_causalbench.cli.fit import fit
from catran_causalbench.cli.wording import in_option_words


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("min_cells: found 3; expected min_cells=50", "--min-cells: found 3; expected --min-cells 50"),
        ("data: found no file; expected one", "data: found no file; expected one"),  # that is no option
        ("control: nothing; layer: found x", "control: nothing; layer: found x"),
        ("control=['a', 'b c'] counts them", "--control a --control 'b c' counts them"),
        ("control='' counts them", "--control '' counts them"),
        ("combination_separator='|' and config=3", "--combination-separator '|' and --config 3"),
        ("see gene_names=COLUMN and layers", "see --gene-names COLUMN and layers"),
        ("gene_names, one of gene_names; unknown=3", "gene_names, one of gene_names; unknown=3"),
    ],
)
def test_fields_and_values_of_all_kinds_become_options(message, expected):
    assert in_option_words(message, fit) == expected


def test_only_options_of_the_command_count():
    assert in_option_words("min_cells=3 seed=3", convert) == "--min-cells 3 seed=3"


def test_python_s_directory_is_the_option_output():
    assert in_option_words("directory: found x; expected y", convert) == "--output: found x; expected y"


COMMANDS = get_command(app).commands


def test_what_a_command_writes_is_the_option_output():
    writing = {name for name, found in COMMANDS.items() for option in found.params if "--output" in option.opts}
    assert writing == {"fit", "simulate", "convert", "download", "prepare", "sweep", "report"}
    for name in writing:
        (option,) = (parameter for parameter in COMMANDS[name].params if parameter.name == "output")
        assert set(option.opts) == {"--output", "-o"}
        assert option.required


@pytest.mark.parametrize(("name", "width"), [("fit", 60), ("fit", 80), ("fit", 120), ("sweep", 60), ("evaluate", 80)])
def test_help_shows_every_option_whole(name, width):
    command = [sys.executable, "-c", f"from catran_causalbench.cli import app; app(['{name}', '--help'])"]
    environment = {**os.environ, "COLUMNS": str(width), "PYTHONPATH": str(REPOSITORY)}
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert max(map(len, text.splitlines())) <= width
    for option in COMMANDS[name].params:
        assert all(word in text for word in option.opts if word.startswith("--")), option.opts
