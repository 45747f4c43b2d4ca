"""The command `prepare`, interrupted or killed at chosen moments: a process that imports once and forks for each."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

from typer.testing import CliRunner

from catran_causalbench.causalbench.prepare.directory import prepare_directory
from catran_causalbench.cli import app


def prepare_and_get_signal(data, made, name, function, call):
    """Run the command and get a signal just before the given call of a function, as `os.replace` (0 is the first)."""
    module = importlib.import_module(function.rpartition(".")[0])
    real, calls = getattr(module, function.rpartition(".")[2]), []

    def signalled(*arguments, **options):
        if len(calls) == call:
            os.kill(os.getpid(), getattr(signal, name))
        calls.append(arguments)
        return real(*arguments, **options)

    setattr(module, function.rpartition(".")[2], signalled)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = CliRunner().invoke(app, ["prepare", data, "--output", str(made)])
    made.with_suffix(".txt").write_text(result.output)
    os._exit(result.exit_code)


def main(data, scratch, moments):
    """Write the exit code of each process, negative for a signal, and leave a directory for each in a folder."""
    codes = []
    prepare_directory(Path(data), Path(scratch) / "first")  # imports everything
    for number, moment in enumerate(json.loads(moments)):
        child = os.fork()
        if not child:
            prepare_and_get_signal(data, Path(scratch) / str(number), *moment)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    (Path(scratch) / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])
