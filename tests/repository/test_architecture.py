"""The architecture as the imports show it: they run downwards only, and CausalBench is known in few places."""

import ast

import networkx as nx
import pytest
from helpers import REPOSITORY

PACKAGE = "catran_causalbench"
ROOT_MODULES = {"__init__", "__main__", "errors", "config", "plugin", "methods", "inference"}


def find_modules():
    """Return the path of every module by its dotted name; a package goes by its own name."""
    modules = {}
    for path in sorted((REPOSITORY / PACKAGE).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = find_modules()


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported_names(tree):
    """Yield every dotted name that a module imports, also inside functions and by ``importlib``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            name = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            yield name.value.rstrip(".") if isinstance(name, ast.Constant) else ""


def imports_of(name):
    """Return the names that a module imports.

    The package itself, whose names load on first use, repeats them for type checkers only: those do not count.
    """
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    if name == PACKAGE:
        tree.body = [node for node in tree.body if not is_type_checking(node)]
    return set(imported_names(tree))


def owner(name):
    """Return the module of this package that holds a dotted name, or none."""
    while name.split(".")[0] == PACKAGE:
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


@pytest.fixture(scope="module")
def imports():
    """Give the graph of imports between the modules of the package."""
    graph = nx.DiGraph()
    graph.add_nodes_from(MODULES)
    for name in MODULES:
        graph.add_edges_from((name, found) for found in map(owner, imports_of(name)) if found not in (None, name))
    return graph


def folder(name):
    """Return the folder of a module; a module at the root of the package stands for itself."""
    return name.split(".")[1] if "." in name else "__init__"


def cycles(graph):
    """Return what lies on a cycle, one list for each knot of cycles."""
    return [sorted(knot) for knot in nx.strongly_connected_components(graph) if len(knot) > 1]


def test_no_modules_import_each_other_in_a_cycle(imports):
    assert cycles(imports) == []


def test_no_folders_import_each_other_in_a_cycle(imports):
    arrows = {(folder(source), folder(target)): f"{source} → {target}" for source, target in imports.edges}
    graph = nx.DiGraph(pair for pair in arrows if pair[0] != pair[1])
    knots = cycles(graph)
    inside = [text for pair, text in arrows.items() for knot in knots if pair[0] != pair[1] and {*pair} <= {*knot}]
    assert knots == [], f"arrows between these folders: {inside}"


def test_utils_stand_on_nothing_but_the_errors(imports):
    used = {target for source, target in imports.edges if folder(source) == "utils"}
    assert {name for name in used if folder(name) != "utils"} <= {
        PACKAGE,
        f"{PACKAGE}.errors",
    }


def test_causalbench_is_imported_in_few_places():
    importing = {name for name in MODULES if any(found.split(".")[0] == "causalscbench" for found in imports_of(name))}
    outside = {name for name in importing if folder(name) != "causalbench"}
    assert outside <= {f"{PACKAGE}.plugin", f"{PACKAGE}.baselines.dcdi"}


def test_few_modules_stand_at_the_root_of_the_package():
    assert {path.stem for path in (REPOSITORY / PACKAGE).glob("*.py")} <= ROOT_MODULES


def test_cycles_are_found():
    assert cycles(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])) == [["a", "b", "c"]]
