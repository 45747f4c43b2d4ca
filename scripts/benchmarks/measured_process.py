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

INTERVAL = 0.02  # seconds
LINES_KEPT = 3


@dataclass
class Measurement:
    """How a command went; memory in GB is what its processes hold in RAM at one time, caches of files not counted."""

    seconds: float = 0.0
    peak_gb: float = 0.0
    exit_code: int = 0
    last_lines: list[str] = field(default_factory=list)
    # Text that was waited for → seconds since the start when a line with it appeared, and the peak until then.
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)


def measure(
    command: Sequence[object],
    marks: Sequence[str] = (),
    address_space_gb: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Run a command to its end, whatever its exit code.

    Parameters
    ----------
    marks
        Texts that its output is searched for.
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
            result.peak_gb = max(result.peak_gb, _resident_gb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            for mark in marks:
                if mark in line and mark not in result.marks:
                    result.marks[mark] = time.perf_counter() - start, result.peak_gb
            result.last_lines = [*result.last_lines, line.rstrip()][-LINES_KEPT:]
        result.exit_code = process.wait()
    finally:
        process.kill()
        done.set()
        watcher.join()
    result.seconds = time.perf_counter() - start
    return result


def drop_from_cache(path: Path) -> None:
    """Have a file read from the disk next time, and not from memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _resident_gb(pid: int) -> float:
    total = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += each.memory_info().rss
    return total / 1e9
