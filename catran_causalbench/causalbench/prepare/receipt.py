"""The receipt of a prepared directory: which data sets are finished, of which files they were made, what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import write_json

RECEIPT = "prepared.json"
_FORMAT = 1  # of the files; data sets in another one are made again

State = list[int]  # bytes, and nanoseconds of the last change


def state_of(path: Path) -> State | None:
    """Return what changes when a file is replaced, or None if there is no file."""
    if not path.is_file():
        return None
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


@dataclass(frozen=True)
class Entry:
    """A finished data set: the state of the files it was made of and of its own, and what was found, in sentences."""

    sources: dict[str, State | None]
    files: dict[str, State | None]
    found: list[str]


@dataclass
class Receipt:
    """The entries of the data sets by cell line."""

    directory: Path
    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Receipt | None:
        """Read the receipt, if there is one; raise InputError if it is damaged."""
        path = directory / RECEIPT
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            entries = {name: Entry(**entry) for name, entry in stored["data_sets"].items()}
            return cls(directory, entries if stored["format"] == _FORMAT else {})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            expected = "what an earlier preparation wrote; delete the directory to start again"
            raise InputError.of(str(path), "no readable receipt", expected) from None

    def write(self) -> None:
        """Write the receipt."""
        entries = {name: vars(entry) for name, entry in self.entries.items()}
        write_json(self.directory / RECEIPT, {"format": _FORMAT, "data_sets": entries})

    def add(self, name: str, sources: Mapping[str, State | None], files: Iterable[str], found: list[str]) -> None:
        """Enter a data set as finished."""
        states = {file: state_of(self.directory / file) for file in files}
        self.entries[name] = Entry(dict(sources), states, found)
        self.write()

    def is_finished(self, name: str, sources: Mapping[str, State | None]) -> bool:
        """Return whether a data set is there as it was written; raise InputError if other files were its sources."""
        entry = self.entries.get(name)
        if entry is None:
            return False
        for source, state in sources.items():
            if entry.sources.get(source) != state:
                found = f"data in {str(self.directory)!r} that were made " + (
                    f"without {source}" if entry.sources.get(source) is None else f"from another {source}"
                )
                raise InputError.of("directory", found, "the files that they were made from, or --overwrite")
        return self.is_current(name, sources)

    def is_current(self, name: str, sources: Mapping[str, State | None]) -> bool:
        """Return whether what was made of these files is there as it was written."""
        entry = self.entries.get(name)
        return (
            entry is not None
            and entry.sources == sources
            and all(state_of(self.directory / file) == state for file, state in entry.files.items())
        )
