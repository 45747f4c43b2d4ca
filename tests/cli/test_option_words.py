"""Messages in the words of the command line: fields, lists, empty values and placeholders become options."""

import pytest

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
