#!/usr/bin/env python
"""Do the tests notice when the code is wrong? Change the losses, the ranking and the evaluation in one place at a time.

For each mutant (a comparison, an operator or a number changed, a condition negated) the tests of its module run in a
process of their own, forked from one in which the libraries are loaded. A mutant survives when all of its tests pass.
Mutants that no test can notice are listed in equivalent_mutants.yaml with the reason. No source file is changed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from catran_causalbench.utils.hardware import available_cores

os.environ["OMP_NUM_THREADS"] = "1"  # a pool of OpenMP threads does not survive a fork

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "catran_causalbench"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
EVALUATION = sorted(path.stem for path in (PACKAGE / "evaluation").glob("[!_]*.py"))
MODULES = ["models.catran.losses", "grn.edges", *(f"evaluation.{name}" for name in EVALUATION)]
# Needed by the modules and their tests, and slow to load.
LIBRARIES = ("causalscbench.evaluation.statistical_evaluation", "pandas", "pytest", "scipy.stats", "torch")
SECONDS = 120  # after which a mutant counts as noticed: an endless loop cannot be overlooked

SWAPPED = (
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.In, ast.NotIn),
    (ast.Is, ast.IsNot),
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.And, ast.Or),
)
REPLACEMENTS: dict[type[ast.AST], type[ast.AST]] = {
    **{old: new for pair in SWAPPED for old, new in (pair, pair[::-1])},
    **dict.fromkeys((ast.FloorDiv, ast.Mod, ast.MatMult, ast.Pow), ast.Mult),
}


class Mutant(NamedTuple):
    """One change of one module: which of its changeable expressions, on which line, and what it becomes."""

    module: str
    place: int
    number: int
    line: str
    change: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield all mutants of a module, in the order of its source."""
    source = source_file(module).read_text(encoding="utf-8")
    lines = source.splitlines()
    for place, node in enumerate(changeable(ast.parse(source))):
        changed = copy.deepcopy(node)
        change(changed)
        line = lines[node.lineno - 1].split("  #")[0].strip()
        yield Mutant(module, place, node.lineno, line, f"{ast.unparse(node)} → {ast.unparse(changed)}")


def changeable(tree: ast.Module) -> list[ast.expr]:
    """Return the expressions that can be changed, except in annotations, decorators and ``strict=`` (safety checks)."""
    excluded = set()
    for node in ast.walk(tree):
        parts = [getattr(node, field, None) for field in ("annotation", "returns")]
        parts += getattr(node, "decorator_list", [])
        if isinstance(node, ast.keyword) and node.arg == "strict":
            parts.append(node)
        for part in parts:
            if isinstance(part, ast.AST):
                excluded.update(map(id, ast.walk(part)))
    return [
        node
        for node in ast.walk(tree)
        if id(node) not in excluded
        and (
            (isinstance(node, ast.Compare) and type(node.ops[0]) in REPLACEMENTS)
            or (isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in REPLACEMENTS)
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub))
            or (isinstance(node, ast.Constant) and isinstance(node.value, int | float))
        )
    ]


def change(node: ast.AST) -> None:
    """Change an expression in place."""
    if isinstance(node, ast.Compare):
        node.ops[0] = REPLACEMENTS[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = REPLACEMENTS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Invert()
        if isinstance(node.op, ast.Invert):  # applied twice, it changes nothing
            node.operand = ast.UnaryOp(ast.Invert(), node.operand)
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]


def import_changed(mutant: Mutant) -> None:
    """Import the mutant in place of its module, which must not have been imported before."""
    name = f"catran_causalbench.{mutant.module}"
    assert name not in sys.modules
    spec = importlib.util.find_spec(name)
    assert spec
    tree = ast.parse(source_file(mutant.module).read_text(encoding="utf-8"))
    change(changeable(tree)[mutant.place])
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    code, names = compile(ast.fix_missing_locations(tree), str(spec.origin), "exec"), vars(module)
    # It is the source of the package itself, changed in one place.
    exec(code, names)  # nosec B102


def start(mutant: Mutant) -> int:
    """Fork a process that runs the mutant's tests and exits with 0 if all pass; return its id."""
    process = os.fork()
    if process:
        return process
    signal.alarm(SECONDS)  # ends this process
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    code = 1
    try:
        import pytest

        import_changed(mutant)
        *folders, name = mutant.module.split(".")
        options = ["-x", "-p", "no:cacheprovider", "-p", "no:timeout", "-o", "addopts=--import-mode=importlib"]
        code = int(pytest.main([*options, "-W", "ignore", "/".join(["tests", *folders, f"test_{name}.py"])]))
    finally:
        os._exit(code)


def survivors_of(mutants: list[Mutant], at_a_time: int) -> Iterator[Mutant]:
    """Run the tests of all mutants, some at a time, and yield those that no test noticed."""
    waiting, running = list(reversed(mutants)), {}
    while waiting or running:
        while waiting and len(running) < at_a_time:
            mutant = waiting.pop()
            running[start(mutant)] = mutant
        process, status = os.wait()
        mutant = running.pop(process)
        if status == 0:
            yield mutant


def source_file(module: str) -> Path:
    """Return the path of a module."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def main() -> int:
    """Return 1 if a mutant survives that is not listed as equivalent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=30, help="number of mutants; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw of mutants")
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=MODULES, help="modules to change")
    arguments = parser.parse_args()
    os.chdir(REPOSITORY)
    for library in LIBRARIES:
        importlib.import_module(library)
    mutants = [mutant for module in arguments.modules for mutant in mutants_of(module)]
    if arguments.sample:
        mutants = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
    equivalent = {
        (module, line, changed)
        for module, lines in yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")).items()
        for line, changes in lines.items()
        for changed in changes
    }
    survived = unexplained = 0
    for mutant in survivors_of(mutants, at_a_time=available_cores()):
        survived += 1
        if (mutant.module, mutant.line, mutant.change) not in equivalent:
            unexplained += 1
            print(f"survived: {mutant.module}, line {mutant.number}: {mutant.line}\n    {mutant.change}", flush=True)
    print(
        f"{len(mutants)} mutants: {len(mutants) - survived} killed, "
        f"{survived - unexplained} survived as equivalent, {unexplained} survived"
    )
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
