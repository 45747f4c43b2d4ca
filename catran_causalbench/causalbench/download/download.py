"""A downloader that continues where a broken connection stopped.

A file arrives as ``NAME.part`` and is renamed when it is complete and correct, so that CausalBench never finds an
incomplete one. ``downloads.json`` holds the checksums of what was received, for later checks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catran_causalbench.causalbench.download.sources import SOURCES, RemoteFile
from catran_causalbench.causalbench.manifest import find_fault, find_stub
from catran_causalbench.errors import DownloadError, InputError
from catran_causalbench.utils.atomic_io import link_or_copy, write_json
from catran_causalbench.utils.fingerprint import file_digest
from catran_causalbench.utils.locking import lock_directory

RECEIPT = "downloads.json"
TRIES = 6  # without progress
_BLOCK = 2**20
_TIMEOUT = 60  # seconds without a byte
_CONNECT_TIMEOUT = 10  # seconds: a firewall may leave a request without any answer

Say = Callable[[str], object]
Progress = Callable[[str, int, int | None], object]


def download_files(
    directory: Path,
    files: Sequence[RemoteFile] = SOURCES,
    have: Path | None = None,
    say: Say = lambda message: None,
    progress: Progress = lambda name, arrived, total: None,
) -> list[Path]:
    """Download files that are missing or damaged, and return the paths of all files.

    Parameters
    ----------
    directory, files
        CausalBench's data directory, made if it does not exist, and the files to download.
    have
        A directory that holds some of the files: they are checked, and linked or copied instead of downloaded.
    say, progress
        Called with a message for every step; and for every block that arrives with the file's name, the bytes that
        have arrived and the bytes in total (None if unknown).

    Raises
    ------
    InputError
        Before anything is downloaded: the directory cannot be written to, another download is writing there, the disk
        is too small, or there is no directory `have`.
    DownloadError
        After all sources were tried: some files are not available, or wrong. What has arrived is kept for the next try,
        unless it is wrong. A source that cannot be reached is tried once.
    """
    if have and not have.is_dir():
        raise InputError.of("have", f"no directory {str(have)!r}", "the directory of the files that you have")
    with lock_directory(directory, "directory", "download"):
        faults = check_files(directory, files)
        missing = [file for file in files if faults[file.name]]
        at_hand = {file.name: have / file.name for file in missing if have and not _fault(file, have / file.name)}
        _check_disk(directory, missing, at_hand)
        failures: list[str] = []
        unreachable: dict[str, tuple[str, list[RemoteFile]]] = {}  # server → why, and its files
        for file in missing:
            part, server = directory / f"{file.name}.part", urlsplit(file.url).netloc
            try:
                if file.name in at_hand:
                    say(f"{file.name}: taken from {have}")
                    part.unlink(missing_ok=True)
                    link_or_copy(at_hand[file.name], part)
                elif server in unreachable:
                    unreachable[server][1].append(file)
                    continue
                else:
                    say(f"{file.name}: from {server}")
                    _fetch(file, part, say, progress)
                receipt = {"url": file.url, "num_bytes": _size(part), "sha256": file_digest(part)}
                os.replace(part, directory / file.name)
                write_json(directory / RECEIPT, {**_receipts(directory), file.name: receipt})
            except _UnreachableError as error:
                unreachable[server] = str(error), [file]
            except (DownloadError, OSError) as error:
                failures.append(str(error))
    for server, (reason, files_there) in unreachable.items():
        wanted = ", ".join(f"{file.url} as {file.name}" for file in files_there)
        advice = f"get {wanted} by other means, and start again with --have their directory"
        failures.append(f"{server} cannot be reached ({reason}); {advice}")
    if failures:
        raise DownloadError("\n".join(failures))
    return [directory / file.name for file in files]


def check_files(directory: Path, files: Sequence[RemoteFile] = SOURCES) -> dict[str, str | None]:
    """Compare files with their published sizes and checksums; return what is wrong with each, or None, by its name.

    Where no checksum is published, the file must have the form that CausalBench reads and, if it was downloaded, the
    content that was received.
    """
    receipts = _receipts(directory)
    return {file.name: _fault(file, directory / file.name, receipts.get(file.name, {}).get("sha256")) for file in files}


def _fault(file: RemoteFile, path: Path, received: str | None = None) -> str | None:
    """Return what is wrong with a file on this disk; `received` is the SHA-256 of an earlier download."""
    if not path.is_file():
        return "missing"
    size = path.stat().st_size
    if file.num_bytes is not None and size != file.num_bytes:
        return f"{size:,} bytes instead of {file.num_bytes:,}"
    if not size:
        return "empty"
    if not file.md5 and not file.sha256 and (fault := find_fault(path, file.name) or find_stub(path, file.name)):
        return fault
    algorithm, expected = ("md5", file.md5) if file.md5 else ("sha256", file.sha256 or received)
    if expected and file_digest(path, algorithm) != expected:
        return f"another content than expected ({algorithm})"
    return None


def _check_disk(directory: Path, files: Sequence[RemoteFile], at_hand: Mapping[str, Path]) -> None:
    needed = 0
    for file in files:
        if file.name not in at_hand:
            needed += max((file.num_bytes or 0) - _size(directory / f"{file.name}.part"), 0)
        elif at_hand[file.name].stat().st_dev != directory.stat().st_dev:  # on the same disk it is linked
            needed += _size(at_hand[file.name])
    free = shutil.disk_usage(directory).free
    if needed > free:
        found = f"{free / 1e9:.1f} GB free on the disk of {directory}"
        raise InputError.of("directory", found, f"{needed / 1e9:.1f} GB")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _version(part: Path) -> Path:
    """Return the path of the server's name for the version of the file that is arriving."""
    return part.with_name(f"{part.name}.version")


class _UnreachableError(DownloadError):
    """There is no connection to a server; the message says why."""


def _fetch(file: RemoteFile, part: Path, say: Say, progress: Progress) -> None:
    """Download a file; the connection may break any number of times as long as more arrives each time."""
    most, failures = 0, 0
    while reason := _attempt(file, part, progress, connected_before=failures > 0):
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


def _attempt(file: RemoteFile, part: Path, progress: Progress, connected_before: bool) -> str:
    """Try once; return why it failed if another try may succeed, or the empty string."""
    try:
        _continue(file, part, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # more than the whole file is here, so it is another version
            part.unlink(missing_ok=True)
        elif error.code not in {408, 429} and error.code < 500:
            advice = f"get it by other means, name it {file.name}, and start again with --have its directory"
            raise DownloadError(f"{file.name}: {file.url} answered {error.code} {error.reason}; {advice}") from None
        return f"{error.code} {error.reason}"
    except urllib.error.URLError as error:  # no connection: no network, name, server or certificate
        reason = getattr(error.reason, "strerror", None) or str(error.reason)
        if not connected_before:
            raise _UnreachableError(reason) from None
        return reason
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


def _continue(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Request the missing part of a file and append it; start again if the server has another version by now."""
    version = _version(part)
    arrived = _size(part) if version.exists() else 0
    if arrived and arrived == file.num_bytes:
        return
    _refuse_plain_http(file.url)
    request = urllib.request.Request(file.url, headers={"User-Agent": "catran-causalbench"})
    if arrived:
        request.add_header("Range", f"bytes={arrived}-")
        request.add_header("If-Range", version.read_text())
    with _OPENER.open(request, timeout=_TIMEOUT) as answer:
        total = answer.length
        if answer.status == 206:
            part_sent = re.match(rf"bytes {arrived}-\d+/(\d*)", answer.headers.get("Content-Range", ""))
            if not part_sent:
                raise ConnectionError("the server sent another part of the file than was requested")
            total = int(part_sent[1]) if part_sent[1] else None
        else:
            arrived = 0
        if file.num_bytes is not None and total not in {None, file.num_bytes}:
            raise DownloadError(f"{file.name}: {file.url} offers {total:,} bytes; expected {file.num_bytes:,}")
        try:
            name = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            if name and not name.startswith("W/"):  # a weak name may stand for different bytes
                version.write_text(name)
            else:  # without a name, the download cannot be continued later
                version.unlink(missing_ok=True)
            with part.open("ab" if arrived else "wb") as content:
                while block := _receive(answer):
                    arrived += content.write(block)
                    progress(file.name, arrived, total)
        except OSError as error:
            message = f"{file.name}: {error.strerror}; {part.name} is kept, start again to continue"
            raise DownloadError(message) from None
    if total is not None and arrived != total:
        raise ConnectionError(f"{arrived:,} of {total:,} bytes arrived")


def _receive(answer: HTTPResponse) -> bytes:
    """Read a block; errors of the connection get another type than those of the disk."""
    try:
        return answer.read(_BLOCK)
    except OSError as error:
        raise HTTPException(str(error)) from None


def _receipts(directory: Path) -> dict[str, Any]:
    path = directory / RECEIPT
    try:
        receipts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        receipts = None
    if not isinstance(receipts, dict) or not all(isinstance(receipt, dict) for receipt in receipts.values()):
        expected = "what an earlier download wrote; delete the file to start again"
        raise InputError.of(str(path), "no readable receipt", expected)
    return receipts


def _refuse_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise DownloadError(f"{url}: found {parts.scheme}; expected https")


class _EncryptedRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirections, but never to an unencrypted address."""

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        _refuse_plain_http(arguments[-1])
        return super().redirect_request(*arguments)


class _Connection(HTTPSConnection):
    """A connection that is there within seconds or not at all, and then waits longer for an answer."""

    def connect(self) -> None:
        patience, self.timeout = self.timeout, _CONNECT_TIMEOUT
        super().connect()
        self.sock.settimeout(patience)


class _PromptConnections(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(_Connection, request)


_OPENER = urllib.request.build_opener(_EncryptedRedirects, _PromptConnections)
