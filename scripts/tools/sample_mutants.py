#!/usr/bin/env python
"""Do the tests notice when the code is wrong? Changes the losses, the ranking and the evaluator in one place at a time.

Every mutant (a comparison, an operator or a number altered, a condition negated) runs the tests of its module in a
process of its own, which forks from one with all libraries loaded. A mutant that no test notices has survived; those
that cannot be noticed stand in equivalent_mutants.yaml with the reason. Nothing is written to the source files.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import yaml

from catran_causalbench.utils.hardware import available_cores

os.environ["OMP_NUM_THREADS"] = "1"  # a pool of OpenMP threads does not survive a fork

PACKAGE = Path(__file__).resolve().parents[2] / "catran_causalbench"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
EVALUATOR = ("tests/test_evaluation.py", "tests/test_evaluation_truth.py")
TESTS = {
    "losses": ("tests/test_losses.py",),
    "edges": ("tests/test_edges.py",),
    **{
        f"evaluation.{name}": EVALUATOR
        for name in (
            "closures",
            "edge_lists",
            "fixed_size",
            "harness_metrics",
            "held_out",
            "null",
            "reference",
            "truth",
        )
    },
}
# Needed by the modules and their tests, and slow to load.
LIBRARIES = ("causalscbench.evaluation.statistical_evaluation", "pandas", "pytest", "scipy.stats", "torch")
SECONDS = 120  # a mutant that takes so long is noticed by whoever waits for it

OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes
    ----------
    module
        Name within the package.
    place
        Which of the nodes that can be changed.
    number, line
        Number and text of the line in the source file.
    change
        The expression before and after.
    """

    module: str
    place: int
    number: int
    line: str
    change: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """List all mutants of a module, in the order of its source."""
    source = source_file(module).read_text(encoding="utf-8")
    lines = source.splitlines()
    for place, node in enumerate(changeable(ast.parse(source))):
        before = ast.unparse(node)
        changed = copy.deepcopy(node)
        change(changed)
        line = lines[node.lineno - 1].split("  #")[0].strip()
        yield Mutant(module, place, node.lineno, line, f"{before} → {ast.unparse(changed)}")


def changeable(tree: ast.Module) -> list[ast.expr]:
    """Find the expressions that can be changed: none in types, decorators and ``strict=``, which guard the reader."""
    silent = set()
    for node in ast.walk(tree):
        guards = [getattr(node, field, None) for field in ("annotation", "returns")]
        guards += getattr(node, "decorator_list", [])
        if isinstance(node, ast.keyword) and node.arg == "strict":
            guards.append(node)
        for guard in guards:
            if isinstance(guard, ast.AST):
                silent.update(map(id, ast.walk(guard)))
    return [
        node
        for node in ast.walk(tree)
        if id(node) not in silent
        and (
            (isinstance(node, ast.Compare) and type(node.ops[0]) in OPPOSITES)
            or (isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPPOSITES)
            or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub))
            or (isinstance(node, ast.Constant) and isinstance(node.value, int | float))
        )
    ]


def change(node: ast.AST) -> None:
    """Change an expression in place."""
    if isinstance(node, ast.Compare):
        node.ops[0] = OPPOSITES[type(node.ops[0])]()  # type: ignore[assignment]
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = OPPOSITES[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Invert()
        if isinstance(node.op, ast.Invert):  # twice is not at all
            node.operand = ast.UnaryOp(ast.Invert(), node.operand)
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]


class MutantLoader(importlib.machinery.SourceFileLoader):
    """Loads a module with one change."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(f"catran_causalbench.{mutant.module}", str(source_file(mutant.module)))
        self._place = mutant.place

    def get_code(self, fullname: str) -> CodeType:
        """Compile the changed source."""
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        change(changeable(tree)[self._place])
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class MutantFinder(importlib.abc.MetaPathFinder):
    """Finds the changed module before the real one."""

    def __init__(self, mutant: Mutant) -> None:
        self._loader = MutantLoader(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the one module only."""
        if fullname != self._loader.name:
            return None
        return importlib.util.spec_from_loader(fullname, self._loader)


def start(mutant: Mutant) -> int:
    """Fork a process that runs the mutant's tests; it ends with 0 where all pass."""
    process = os.fork()
    if process:
        return process
    signal.alarm(SECONDS)  # ends this process
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    import pytest

    sys.meta_path.insert(0, MutantFinder(mutant))
    code = 1
    try:
        options = ["-x", "-p", "no:cacheprovider", "-p", "no:timeout", "-o", "addopts=", "-W", "ignore"]
        code = int(pytest.main([*options, *TESTS[mutant.module]]))
    finally:
        os._exit(code)


def survivors_of(mutants: list[Mutant], together: int) -> list[Mutant]:
    """Run the tests of all mutants, some at a time, and return those that no test noticed."""
    waiting, running, survivors = list(reversed(mutants)), {}, []
    while waiting or running:
        while waiting and len(running) < together:
            mutant = waiting.pop()
            running[start(mutant)] = mutant
        process, status = os.wait()
        mutant = running.pop(process)
        if status == 0:
            survivors.append(mutant)
    return survivors


def source_file(module: str) -> Path:
    """Where a module lies."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def main() -> int:
    """Give 1 where a mutant survived that should not have."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=30, help="how many mutants; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="decides which mutants are drawn")
    parser.add_argument("--modules", nargs="+", choices=TESTS, default=list(TESTS), help="modules to change")
    arguments = parser.parse_args()
    os.chdir(PACKAGE.parent)
    for library in LIBRARIES:
        importlib.import_module(library)
    mutants = [mutant for module in arguments.modules for mutant in mutants_of(module)]
    if arguments.sample:
        mutants = random.Random(arguments.seed).sample(mutants, min(arguments.sample, len(mutants)))
    reasons = {
        (module, line, changed): reason
        for module, lines in yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")).items()
        for line, changes in lines.items()
        for changed, reason in changes.items()
    }
    survivors = survivors_of(mutants, together=available_cores())
    unexplained = [mutant for mutant in survivors if (mutant.module, mutant.line, mutant.change) not in reasons]
    for mutant in unexplained:
        print(f"survived: {mutant.module}, line {mutant.number}: {mutant.line}\n    {mutant.change}")
    print(
        f"{len(mutants)} mutants: {len(mutants) - len(survivors)} killed, "
        f"{len(survivors) - len(unexplained)} survived as explained, {len(unexplained)} survived"
    )
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
