"""A downloader that continues where a broken connection stopped.

A file grows under the name ``NAME.part`` and gets its own name once it is whole, so that CausalBench never finds an
incomplete one. ``downloads.json`` holds the checksums of what was received, against which the files can be checked
later.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catran_causalbench.causalbench.download.sources import SOURCES, RemoteFile
from catran_causalbench.causalbench.manifest import find_fault
from catran_causalbench.errors import DownloadError, InputError
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.locking import lock_directory

RECEIPT = "downloads.json"
TRIES = 6  # without a byte more
_BLOCK = 2**20
_TIMEOUT = 60  # seconds without a byte

Say = Callable[[str], object]
Progress = Callable[[str, int, int | None], object]


def download_files(
    folder: Path,
    files: Sequence[RemoteFile] = SOURCES,
    have: Path | None = None,
    say: Say = lambda message: None,
    progress: Progress = lambda name, arrived, total: None,
) -> list[Path]:
    """Download files into a folder; those that are there and whole stay as they are.

    Parameters
    ----------
    folder, files
        CausalBench's data directory, made if there is none, and what to download.
    have
        A folder that holds some of the files: they are checked, and linked or copied instead of downloaded.
    say, progress
        Called with a message for every step; and for every block that arrives with the name of the file, the bytes
        that have arrived and the bytes in total, if known.

    Returns
    -------
    list of Path
        The files, in their order.

    Raises
    ------
    InputError
        Before anything is downloaded: the folder cannot be written to, another download is writing there, the disk is
        too small, or there is no folder `have`.
    DownloadError
        After all files were tried: some are not available, or not what they should be. What has arrived is kept for
        the next try, unless it is wrong.
    """
    if have and not have.is_dir():
        raise InputError.of("have", f"no folder {str(have)!r}", "the folder of the files that you have")
    with lock_directory(folder, "folder", "download"):
        faults = check_files(folder, files)
        missing = [file for file in files if faults[file.name]]
        at_hand = {file.name: have / file.name for file in missing if have and not _fault(file, have / file.name)}
        _check_disk(folder, missing, at_hand)
        failures = []
        for file in missing:
            try:
                if file.name in at_hand:
                    say(f"{file.name}: taken from {have}")
                    _take(at_hand[file.name], _part(file, folder))
                else:
                    say(f"{file.name}: from {urlsplit(file.url).hostname}")
                    _fetch(file, _part(file, folder), say, progress)
                os.replace(_part(file, folder), folder / file.name)
                _note_receipt(file, folder)
            except (DownloadError, OSError) as error:
                failures.append(str(error))
    if failures:
        raise DownloadError("\n".join(failures))
    return [folder / file.name for file in files]


def check_files(folder: Path, files: Sequence[RemoteFile] = SOURCES) -> dict[str, str | None]:
    """Compare files with their published sizes and checksums.

    Where no checksum is published, the file must have the form that CausalBench reads, and the content noted when it
    was downloaded, if it was.

    Returns
    -------
    dict
        Name of each file → what is wrong with it, or None.
    """
    receipts = _receipts(folder)
    return {file.name: _fault(file, folder / file.name, receipts.get(file.name, {}).get("sha256")) for file in files}


def _fault(file: RemoteFile, path: Path, received: str | None = None) -> str | None:
    """Return what is wrong with a file on this disk; `received` is the SHA-256 of what was received before."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if file.num_bytes is not None and size != file.num_bytes:
        return f"{size:,} bytes instead of {file.num_bytes:,}"
    if not size:
        return "empty"
    if not file.md5 and not file.sha256 and (fault := find_fault(path, file.name)):
        return fault
    algorithm, expected = ("md5", file.md5) if file.md5 else ("sha256", file.sha256 or received)
    if expected and _digest(path, algorithm) != expected:
        return f"another content than expected ({algorithm})"
    return None


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _check_disk(folder: Path, files: Sequence[RemoteFile], at_hand: Mapping[str, Path]) -> None:
    needed = 0
    for file in files:
        if file.name not in at_hand:
            needed += max((file.num_bytes or 0) - _size(_part(file, folder)), 0)
        elif at_hand[file.name].stat().st_dev != folder.stat().st_dev:  # on the same disk it is linked
            needed += _size(at_hand[file.name])
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError.of("folder", f"{free / 1e9:.1f} GB free on the disk of {folder}", f"{needed / 1e9:.1f} GB")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _part(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.name}.part"


def _version(part: Path) -> Path:
    """Return the file that holds the server's name for the version that is arriving."""
    return part.with_name(f"{part.name}.version")


def _take(source: Path, part: Path) -> None:
    """Link a file, or copy it where that is not possible."""
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, part)


def _fetch(file: RemoteFile, part: Path, say: Say, progress: Progress) -> None:
    """Download a file; the connection may break any number of times as long as more arrives each time."""
    most, failures = 0, 0
    while reason := _attempt(file, part, progress):
        arrived = _size(part)
        most, failures = (arrived, 1) if arrived > most else (most, failures + 1)
        if failures == TRIES:
            raise DownloadError(f"{file.name}: {file.url} failed {TRIES} times ({reason}); start again to continue")
        say(f"{file.name}: interrupted ({reason}); continuing")
        time.sleep(2 ** (failures - 1))
    _version(part).unlink(missing_ok=True)
    if fault := _fault(file, part):
        part.unlink()
        raise DownloadError(f"{file.name}: what came from {file.url} is wrong ({fault}); nothing of it is kept")


def _attempt(file: RemoteFile, part: Path, progress: Progress) -> str:
    """Try once; return the reason of a failure after which another try may succeed, or the empty string."""
    try:
        _continue(file, part, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # more than the whole file is here: it must be another one
            part.unlink(missing_ok=True)
        elif error.code not in {408, 429} and error.code < 500:
            advice = f"get it by other means, name it {file.name}, and start again with --have its folder"
            raise DownloadError(f"{file.name}: {file.url} answered {error.code} {error.reason}; {advice}") from None
        return f"{error.code} {error.reason}"
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


def _continue(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Ask for what is missing of a file, and append it; start anew if the server has another version by now."""
    arrived = _size(part) if _version(part).exists() else 0
    if arrived and arrived == file.num_bytes:
        return
    request = urllib.request.Request(file.url, headers={"User-Agent": "catran-causalbench"})
    if arrived:
        request.add_header("Range", f"bytes={arrived}-")
        request.add_header("If-Range", _version(part).read_text())
    _refuse_plain_http(file.url)
    with _OPENER.open(request, timeout=_TIMEOUT) as answer:
        total = answer.length
        if answer.status != 206:
            arrived = 0
        else:
            given = re.match(rf"bytes {arrived}-\d+/(\d*)", answer.headers.get("Content-Range", ""))
            if not given:
                raise ConnectionError("another part came than was asked for")
            total = int(given[1]) if given[1] else None
        if file.num_bytes is not None and total not in {None, file.num_bytes}:
            raise DownloadError(f"{file.name}: {file.url} offers {total:,} bytes; expected {file.num_bytes:,}")
        try:
            _note_version(part, answer)
            with part.open("ab" if arrived else "wb") as content:
                while block := _received(answer):
                    arrived += content.write(block)
                    progress(file.name, arrived, total)
        except OSError as error:
            raise DownloadError(
                f"{file.name}: {error.strerror}; {part.name} is kept, start again to continue"
            ) from None
    if total is not None and arrived != total:
        raise ConnectionError(f"{arrived:,} of {total:,} bytes arrived")


def _received(answer: HTTPResponse) -> bytes:
    """Read a block; an error here is the connection's, so it gets another type than errors of the disk."""
    try:
        return answer.read(_BLOCK)
    except OSError as error:
        raise HTTPException(str(error)) from None


def _note_version(part: Path, answer: HTTPResponse) -> None:
    """Keep the server's name for this version; without one, the download cannot be continued."""
    name = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if name and not name.startswith("W/"):  # a weak name may stand for different bytes
        _version(part).write_text(name)
    else:
        _version(part).unlink(missing_ok=True)


def _note_receipt(file: RemoteFile, folder: Path) -> None:
    path = folder / file.name
    receipt = {"url": file.url, "num_bytes": path.stat().st_size, "sha256": _digest(path, "sha256")}
    write_json(folder / RECEIPT, {**_receipts(folder), file.name: receipt})


def _receipts(folder: Path) -> dict[str, Any]:
    path = folder / RECEIPT
    try:
        receipts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        receipts = None
    if not isinstance(receipts, dict) or not all(isinstance(receipt, dict) for receipt in receipts.values()):
        raise InputError.of(str(path), "no readable receipt", "what an earlier download wrote; delete it to start anew")
    return receipts


def _refuse_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise DownloadError(f"{url}: found {parts.scheme}; expected https")


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follow a server's redirections, but never to where anyone could change the file on its way."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        _refuse_plain_http(arguments[-1])
        return super().redirect_request(*arguments)


_OPENER = urllib.request.build_opener(_EncryptedRedirects)
