"""The machine: its cores, its name, and the memory that a piece of work takes."""

from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

_SECONDS_BETWEEN_LOOKS = 0.02


def available_cores() -> int:
    """Return the number of cores that this process may use; macOS and Windows cannot restrict it to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PeakMemory:
    """Measure the resident memory of this process while a block runs.

    Attributes
    ----------
    peak_megabytes
        The most that was seen, fifty times a second, beyond what the process held before: libraries and data weigh
        the same for every method. At least 1, since less cannot be told from the noise of the system.
    """

    peak_megabytes = 1.0

    def __enter__(self) -> PeakMemory:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self._over = threading.Event()
        self._look()
        self._watch = threading.Thread(target=self._keep_looking, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watch.join()
        self._look()

    def _keep_looking(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        beyond = self._process.memory_info().rss - self._before
        self.peak_megabytes = max(self.peak_megabytes, beyond / 1e6)


def describe_machine() -> dict[str, Any]:
    """Return the processor, the cores that numerical libraries may use, and the GPU where there is one."""
    torch = sys.modules.get("torch")  # a method without it used no GPU
    return {
        "processor": _processor(),
        "cores": int(os.environ.get("OMP_NUM_THREADS") or available_cores()),
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
