#!/usr/bin/env python
"""Write the tables of docs/developer/guarantees.md from the tests that keep the guarantees.

A test says what it keeps by the marker ``@pytest.mark.guarantee("topic", "sentence")``; the same sentence on several
tests is one row. In the page, each topic has a place between two comments, where its table goes. The tests are read,
not run.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "developer" / "guarantees.md"
PLACE = re.compile(r"(<!-- guarantees: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)

Guarantees = dict[str, dict[str, list[str]]]  # topic → sentence → links to tests


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), guarantees(REPOSITORY / "tests")), encoding="utf-8")
    print(f"Wrote {PAGE}.")


def guarantees(folder: Path) -> Guarantees:
    """Collect the guarantees that the tests in a folder keep, in the order of files and lines."""
    found: Guarantees = {}
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for call in marks(node):
                if len(call.args) != 2 or not all(isinstance(argument, ast.Constant) for argument in call.args):
                    raise SystemExit(f"{path}, line {call.lineno}: expected a topic and a sentence, as plain strings")
                topic, sentence = (str(argument.value) for argument in call.args)  # type: ignore[attr-defined]
                name = node.name if isinstance(node, ast.FunctionDef) else path.name
                link = f"[`{name}`](../../tests/{path.relative_to(folder).as_posix()})"
                found.setdefault(topic, {}).setdefault(sentence, []).append(link)
    return found


def marks(node: ast.stmt) -> list[ast.Call]:
    """Return the markers ``guarantee`` of a test, or of a whole file by ``pytestmark``."""
    marked: list[ast.expr] = []
    if isinstance(node, ast.FunctionDef):
        marked = node.decorator_list
    elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
        marked = node.value.elts if isinstance(node.value, ast.List) else [node.value]
    calls = [mark for mark in marked if isinstance(mark, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "pytest.mark.guarantee"]


def updated(page: str, found: Guarantees) -> str:
    """Return the page with the tables of what was found."""
    places = [topic for _, topic, _ in PLACE.findall(page)]
    if sorted(places) != sorted(found):
        odd = ", ".join(sorted(set(places) ^ set(found))) or "a topic twice"
        raise SystemExit(f"The topics of the page and of the tests differ: {odd}.")
    return PLACE.sub(lambda match: f"{match[1]}{table(found[match[2]])}{match[3]}", page)


def table(sentences: dict[str, list[str]]) -> str:
    """Return the table of one topic."""
    rows = [f"| {sentence} | {', '.join(links)} |" for sentence, links in sentences.items()]
    return "\n".join(["| guarantee | kept by |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
