"""The description of a benchmark directory."""

import pytest

from catran_causalbench.causalbench.metadata import find_metadata
from catran_causalbench.errors import InputError


@pytest.mark.parametrize("text", [None, "[]", '{"title": "mine"}', '{"made_by": "somebody", "title": "theirs"}'])
def test_only_our_own_descriptions_count(tmp_path, text):
    if text is not None:
        (tmp_path / "description.json").write_text(text)
    assert find_metadata(tmp_path) == {}


def test_our_description_is_returned(tmp_path):
    (tmp_path / "description.json").write_text('{"made_by": "catran_causalbench", "title": "ours"}')
    assert find_metadata(tmp_path) == {"made_by": "catran_causalbench", "title": "ours"}


def test_a_damaged_description_is_refused(tmp_path):
    (tmp_path / "description.json").write_text("{")
    with pytest.raises(InputError, match=r"description\.json: found a file that cannot be read"):
        find_metadata(tmp_path)
