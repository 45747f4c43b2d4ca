"""The page of guarantees is made from the tests that keep them."""

import importlib.util

import pytest
from helpers import REPOSITORY


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("guarantees", REPOSITORY / "scripts" / "tools" / "guarantees.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script):
    page = script.PAGE.read_text(encoding="utf-8")
    assert page == script.updated(page, script.guarantees(REPOSITORY / "tests")), "run scripts/tools/guarantees.py"


@pytest.fixture
def some_tests(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "test_a.py").write_text(
        'pytestmark = pytest.mark.guarantee("Size", "Big is small.")\n\n'
        '@other\n@pytest.mark.guarantee("Time", "Slow " "is fast.")\ndef test_one(): ...\n'
    )
    (tmp_path / "part" / "test_b.py").write_text(
        '@pytest.mark.guarantee("Time", "Slow is fast.")\n@pytest.mark.slow\ndef test_two(): ...\n'
    )
    return tmp_path


def test_marks_are_collected_by_topic_and_sentence(script, some_tests):
    assert script.guarantees(some_tests) == {
        "Time": {
            "Slow is fast.": ["[`test_two`](../../tests/part/test_b.py)", "[`test_one`](../../tests/test_a.py)"],
        },
        "Size": {"Big is small.": ["[`test_a.py`](../../tests/test_a.py)"]},
    }


def test_tables_stand_in_their_places_and_the_rest_stays(script, some_tests):
    page = "a\n<!-- guarantees: Time -->\nold\n<!-- end -->\nb\n<!-- guarantees: Size -->\n<!-- end -->\n"
    text = script.updated(page, script.guarantees(some_tests))
    assert "| Slow is fast. | [`test_two`]" in text
    assert "old" not in text
    assert "<!-- end -->\nb\n" in text
    assert script.updated(text, script.guarantees(some_tests)) == text


@pytest.mark.parametrize("topics", [["Time"], ["Time", "Size", "Money"], ["Time", "Size", "Size"]])
def test_topics_without_a_place_or_without_tests_are_told(script, some_tests, topics):
    page = "".join(f"<!-- guarantees: {topic} -->\n<!-- end -->\n" for topic in topics)
    with pytest.raises(SystemExit, match="topics"):
        script.updated(page, script.guarantees(some_tests))


def test_a_mark_needs_plain_strings(script, tmp_path):
    (tmp_path / "test_a.py").write_text('@pytest.mark.guarantee("Time")\ndef test_one(): ...\n')
    with pytest.raises(SystemExit, match=r"test_a\.py, line 1"):
        script.guarantees(tmp_path)
