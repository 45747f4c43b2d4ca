"""Run a command and measure its time and the resident memory of its process and all that it starts."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INTERVAL = 0.1  # seconds; looking for child processes takes milliseconds


@dataclass
class Measurement:
    """How a command went; memory in GB is the sum of its processes' peaks, caches of files not counted."""

    seconds: float = 0.0
    peak_gb: float = 0.0
    exit_code: int = 0
    output: str = ""
    # Name of what happened → seconds since the start, and the peak until then.
    events: dict[str, tuple[float, float]] = field(default_factory=dict)


def measure(
    command: Sequence[object],
    events: Mapping[str, str] | None = None,
    address_space_gb: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Run a command to its end, whatever its exit code.

    Parameters
    ----------
    events
        Names of what happens when a line with a text appears in its output, by these texts.
    address_space_gb
        Memory that each of its processes may allocate.
    environment
        Variables to set.
    """

    def limit() -> None:
        if address_space_gb:
            resource.setrlimit(resource.RLIMIT_AS, (int(address_space_gb * 1e9),) * 2)

    result, done = Measurement(), threading.Event()
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        preexec_fn=limit,
    )

    def watch() -> None:
        while not done.wait(INTERVAL):
            result.peak_gb = max(result.peak_gb, _peak_gb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            result.output += line
            for text, name in (events or {}).items():
                if text in line:
                    result.events.setdefault(name, (time.perf_counter() - start, result.peak_gb))
        result.exit_code = process.wait()
    finally:
        process.kill()
        done.set()
        watcher.join()
    result.seconds = time.perf_counter() - start
    return result


def _peak_gb(pid: int) -> float:
    """Return the most memory that a process has held so far, and each of its children that are still there."""
    kilobytes = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{each.pid}/status").read_text().splitlines()
                kilobytes += int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return kilobytes * 1024 / 1e9
