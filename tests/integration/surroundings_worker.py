"""What test_surroundings.py runs in a process that Python's spawn starts, which imports it by its name."""

import contextlib
import io

from helpers import QUICK_EVIDENCE, random_data

from catran_causalbench import infer_network, validate_dataset

CELLS = [
    "import asyncio, catran_causalbench as catran",
    "from helpers import QUICK_EVIDENCE, random_data",
    "dataset = catran.validate_dataset(*random_data())",
    "network = await asyncio.to_thread(catran.infer_network, dataset, QUICK_EVIDENCE)",
    "network",
]


def edges(seed=0, **options):
    """Train for a moment; return the edges with their weights."""
    return rows(infer_network(validate_dataset(*random_data()), QUICK_EVIDENCE, seed, **options))


def rows(network):
    """The rows of the table of edges, in which missing numbers are equal to each other."""
    return network.edges().astype(object).fillna("missing").values.tolist()


def send_edges(connection, seed=0):
    """Send the edges to another process."""
    connection.send(edges(seed))


def send_edges_and_notebook(connection):
    """Send the edges, then what a notebook shows of its last cell, and all that its cells print."""
    connection.send(edges())
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    printed, shown = io.StringIO(), {}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        for cell in CELLS:
            answer = shell.run_cell(cell, silent=True)
            answer.raise_error()
    shown = shell.display_formatter.format(shell.user_ns["network"])[0]
    connection.send((shown, printed.getvalue(), rows(shell.user_ns["network"])))
