"""Messages of commands: in the words of their options, in one line, without the place in the code."""

import warnings
from typing import Annotated

import pytest
import typer

from catran_causalbench.cli.console import command
from catran_causalbench.cli.data import convert
from catran_causalbench.cli.fit import fit
from catran_causalbench.cli.wording import in_option_words


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("min_cells: found 3; expected min_cells=50", "--min-cells: found 3; expected --min-cells 50"),
        ("data: found no file; expected one", "data: found no file; expected one"),  # that is no option
        ("try label_pattern='guide-number'", "try --label-pattern guide-number"),
        ("control=['a', 'b c'] counts them", "--control a --control 'b c' counts them"),
        ("control='' counts them", "--control '' counts them"),
        ("combination_separator='|' and config=3", "--combination-separator '|' and --config 3"),
        ("expected fractions, counts=True or counts=False", "expected fractions, --counts or no --counts"),
        ("see gene_names=COLUMN and layers", "see --gene-names COLUMN and layers"),
        ("gene_names, one of gene_names; unknown=3", "gene_names, one of gene_names; unknown=3"),
        ("control: nothing; layer: found x", "control: nothing; layer: found x"),
    ],
)
def test_arguments_become_options(message, expected):
    assert in_option_words(message, fit) == expected


def test_only_options_of_the_command_count():
    assert in_option_words("min_cells=3 seed=3", convert) == "--min-cells 3 seed=3"


def test_warnings_are_one_line_and_those_of_libraries_stay_as_they_are(capsys):
    @command
    def warn(min_cells: Annotated[int, typer.Option()] = 3):
        warnings.warn("lower min_cells=3", stacklevel=1)
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)

    shown = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: shown.append(str(message))
        warn()
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Warning: lower --min-cells 3\n")
    assert shown == ["of a library"]
