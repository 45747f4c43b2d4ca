"""The files of CausalBench's K562 and RPE1 data, fetched so that a broken connection costs nothing.

A file grows under the name ``NAME.part`` and gets its own name once it is whole, so that the harness never finds a
torso. What was received is noted in ``downloads.json``, against which the files can be checked later.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catran_causalbench.causalbench.download.sources import FILES, RemoteFile
from catran_causalbench.causalbench.manifest import fault_inside
from catran_causalbench.errors import DownloadError, InputError
from catran_causalbench.utils.atomic_io import write_json
from catran_causalbench.utils.locking import lock_directory

RECEIPT = "downloads.json"
_BLOCK = 2**20
_TRIES = 6
_TIMEOUT = 60  # seconds without a byte

Say = Callable[[str], object]
Progress = Callable[[str, int, int | None], object]


def download_files(
    folder: Path,
    files: Sequence[RemoteFile] = FILES,
    have: Path | None = None,
    say: Say = lambda message: None,
    progress: Progress = lambda name, arrived, total: None,
) -> list[Path]:
    """Bring files into a folder; those that are there and whole stay as they are.

    Parameters
    ----------
    folder
        The harness's data directory; made where there is none.
    files
        What to bring.
    have
        A folder in which some files lie already: they are checked, and linked or copied instead of downloaded.
    say
        Told in words what happens.
    progress
        Told of every block that arrives: the file's name, how many bytes of it have arrived and of how many, if known.

    Returns
    -------
    list of Path
        The files, in their order.

    Raises
    ------
    InputError
        Before anything is fetched: the folder cannot be written to, another download is at work there, the disk is
        too small, or there is no folder `have`.
    DownloadError
        After all files were tried: some cannot be had, or are not what they should be. What has arrived is kept for the
        next try, unless it is wrong.
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
                    _take(at_hand[file.name], folder / file.name)
                else:
                    say(f"{file.name}: {file.purpose}, from {urlsplit(file.url).hostname}")
                    _fetch(file, folder, say, progress)
                _note_receipt(file, folder)
            except (DownloadError, OSError) as error:
                failures.append(str(error))
    if failures:
        raise DownloadError("\n".join(failures))
    return [folder / file.name for file in files]


def check_files(folder: Path, files: Sequence[RemoteFile] = FILES) -> dict[str, str | None]:
    """Compare files with their published sizes and checksums.

    Where no checksum is published, the beginning of the file must have the form that the harness reads, and its content
    must be that of the receipt, if there is one.

    Returns
    -------
    dict
        Name of each file → what is wrong with it, or None.
    """
    receipts = _receipts(folder)
    return {file.name: _fault(file, folder / file.name, receipts.get(file.name, {}).get("sha256")) for file in files}


def _fault(file: RemoteFile, path: Path, received: str | None = None) -> str | None:
    """Say what is wrong with a file on this disk, or None; `received` is the SHA-256 of what was received before."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if file.num_bytes is not None and size != file.num_bytes:
        return f"{size:,} bytes instead of {file.num_bytes:,}"
    if not size:
        return "empty"
    if not file.md5 and not file.sha256 and (fault := fault_inside(path, file.name)):
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
    needed = sum(_room(file, folder, at_hand.get(file.name)) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError.of("folder", f"{free / 1e9:.1f} GB free on the disk of {folder}", f"{needed / 1e9:.1f} GB")


def _room(file: RemoteFile, folder: Path, at_hand: Path | None) -> int:
    """Bytes that a file will take, as far as that is known; one at hand on the same disk is linked and takes none."""
    if at_hand:
        found = at_hand.stat()
        return found.st_size if found.st_dev != folder.stat().st_dev else 0
    part = _part(file, folder)
    return max((file.num_bytes or 0) - (part.stat().st_size if part.exists() else 0), 0)


def _take(source: Path, target: Path) -> None:
    """Link a file, or copy it where that cannot be done."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, part)
    os.replace(part, target)


def _fetch(file: RemoteFile, folder: Path, say: Say, progress: Progress) -> None:
    """Fetch a file; servers may break off as often as they like, as long as more of it arrives each time."""
    part = _part(file, folder)
    most, failures = 0, 0
    while True:
        try:
            _continue(file, part, progress)
            break
        except (OSError, HTTPException) as error:
            reason = _reason_to_try_again(file, part, error)
        arrived = part.stat().st_size if part.exists() else 0
        most, failures = (arrived, 1) if arrived > most else (most, failures + 1)
        if failures == _TRIES:
            raise DownloadError(f"{file.name}: {file.url} failed {_TRIES} times ({reason}); start again to go on")
        say(f"{file.name}: interrupted ({reason}); going on")
        time.sleep(2 ** (failures - 1))
    fault = _fault(file, part)
    _version(part).unlink(missing_ok=True)
    if fault:
        part.unlink()
        raise DownloadError(f"{file.name}: what came from {file.url} is wrong ({fault}); nothing of it is kept")
    os.replace(part, folder / file.name)


def _reason_to_try_again(file: RemoteFile, part: Path, error: Exception) -> str:
    """Say why a server that may do better next time failed; raise where it won't."""
    if not isinstance(error, urllib.error.HTTPError):
        return str(error)
    if error.code == 416:  # more than the whole file is here: it must be another one
        part.unlink(missing_ok=True)
    elif error.code not in {408, 429} and error.code < 500:
        advice = f"get it by other means, name it {file.name}, and start again with --have its folder"
        raise DownloadError(f"{file.name}: {file.url} answered {error.code} {error.reason}; {advice}") from None
    return f"{error.code} {error.reason}"


def _continue(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Ask for what is missing of a file, and add it; start anew where the server has another version by now."""
    arrived = part.stat().st_size if part.exists() and _version(part).exists() else 0
    if arrived and arrived == file.num_bytes:
        return
    request = urllib.request.Request(file.url, headers={"User-Agent": "catran-causalbench"})
    if arrived:
        request.add_header("Range", f"bytes={arrived}-")
        request.add_header("If-Range", _version(part).read_text())
    _refuse_plain_http(file.url)
    with _OPENER.open(request, timeout=_TIMEOUT) as answer:
        if answer.status != 206:
            arrived = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {arrived}-"):
            raise ConnectionError("another part came than was asked for")
        total = _total_size(answer) if arrived else answer.length
        if file.num_bytes is not None and total not in {None, file.num_bytes}:
            raise DownloadError(f"{file.name}: {file.url} offers {total:,} bytes; expected {file.num_bytes:,}")
        try:
            _note_version(part, answer)
            with part.open("ab" if arrived else "wb") as content:
                while block := _received(answer):
                    arrived += content.write(block)
                    progress(file.name, arrived, total)
        except OSError as error:
            raise DownloadError(f"{file.name}: {error.strerror}; {part.name} is kept, start again to go on") from None
    if total is not None and arrived != total:
        raise ConnectionError(f"{arrived:,} of {total:,} bytes arrived")


def _received(answer: HTTPResponse) -> bytes:
    """Read a block; what breaks off here is the connection, so its error gets another type than the disk's."""
    try:
        return answer.read(_BLOCK)
    except OSError as error:
        raise HTTPException(str(error)) from None


def _total_size(answer: HTTPResponse) -> int | None:
    """Size of the whole file, from ``Content-Range: bytes 5-9/10``."""
    size = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(size) if size.isdigit() else None


def _part(file: RemoteFile, folder: Path) -> Path:
    return folder / f"{file.name}.part"


def _version(part: Path) -> Path:
    """Where it is noted which version of the file has been arriving."""
    return part.with_name(f"{part.name}.version")


def _note_version(part: Path, answer: HTTPResponse) -> None:
    """Keep what the server calls this version; without a name for it, a download cannot be continued."""
    name = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if name and not name.startswith("W/"):  # a weak name may stand for different bytes
        _version(part).write_text(name)
    else:
        _version(part).unlink(missing_ok=True)


def _note_receipt(file: RemoteFile, folder: Path) -> None:
    receipts = _receipts(folder)
    path = folder / file.name
    receipts[file.name] = {"url": file.url, "num_bytes": path.stat().st_size, "sha256": _digest(path, "sha256")}
    write_json(folder / RECEIPT, receipts)


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
