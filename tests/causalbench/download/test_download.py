"""Downloads from a server on this machine that breaks connections, refuses requests and changes files."""

import errno
import hashlib
import http.server
import os
import re
import shutil
import socket
import ssl
import tempfile
import threading
import urllib.error
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from urllib.request import Request

import numpy as np
import pytest
from typer.testing import CliRunner

from catran_causalbench.causalbench.build.file_formats import zip_bytes
from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.causalbench.download import download
from catran_causalbench.causalbench.download.download import check_files, download_files
from catran_causalbench.causalbench.download.sources import SOURCES, RemoteFile
from catran_causalbench.causalbench.manifest import CORUM, FILES
from catran_causalbench.cli import app
from catran_causalbench.errors import DownloadError, InputError
from catran_causalbench.simulation.causal_model import SimulationConfig
from catran_causalbench.utils.locking import lock_directory

LIGANDS = Path(__file__).parents[4] / "shared" / "data" / "ground_truth" / "human_lr_pair.txt"
CONTENT = bytes(range(256)) * 40_000  # 10 MB: several blocks


class Server(http.server.BaseHTTPRequestHandler):
    """A server of CONTENT; its faults are set on the class."""

    protocol_version = "HTTP/1.1"
    content, version, ranges, break_after, failures, requests = CONTENT, '"one"', True, 0, 0, []

    def do_GET(self):
        kind = type(self)
        kind.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/redirected":
            return self.answer(302, b"", {"Location": "http://example.org/file"})
        if self.path != "/file":
            return self.answer(404, b"")
        if kind.failures:
            kind.failures -= 1
            return self.answer(503, b"")
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and kind.ranges and self.headers["If-Range"] == kind.version:
            start = int(wanted[1])
            part = f"bytes {start}-{len(kind.content) - 1}/{len(kind.content)}"
            return self.answer(206, kind.content[start:], {"Content-Range": part, "ETag": kind.version})
        return self.answer(200, kind.content, {"ETag": kind.version})

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).break_after and body:
            self.wfile.write(body[: type(self).break_after])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    kind = type("Server", (Server,), {"requests": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
        running.handle_error = lambda request, address: None  # clients that break the connection are expected
        kind.file = RemoteFile("data.bin", f"http://127.0.0.1:{running.server_port}/file")
        kind.verified = replace(kind.file, num_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
        yield kind
        running.shutdown()


def interrupt(name, arrived, total):
    """Interrupt a download after three million bytes, from its progress bar."""
    if arrived > 3_000_000:
        raise KeyboardInterrupt


def complexes(number):
    """Return a table of complexes as CORUM has it; none compresses well."""
    rng = np.random.default_rng(0)
    rows = ("".join(f"{gene:x};" for gene in genes) for genes in rng.integers(2**32, size=(number, 2)))
    return zip_bytes({"humanComplexes.txt": "\n".join(["subunits(Gene name)", *rows]).encode()})


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_arrives_complete_with_a_receipt(server, tmp_path):
    seen = []
    paths = download_files(tmp_path / "new", [server.verified], progress=lambda *step: seen.append(step))
    assert paths == [tmp_path / "new" / "data.bin"]
    assert paths[0].read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["data.bin", "downloads.json"]
    assert seen[-1] == ("data.bin", len(CONTENT), len(CONTENT))
    download_files(tmp_path / "new", [server.verified])
    assert len(server.requests) == 1, "an intact file is not downloaded again"


def test_a_broken_connection_continues_where_it_stopped(server, tmp_path):
    server.break_after = 3_000_000
    messages = []
    download_files(tmp_path, [server.verified], say=messages.append)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert [part for _, part in server.requests] == [None, *(f"bytes={n}000000-" for n in (3, 6, 9))]
    assert sum("interrupted" in message for message in messages) == 3


def test_an_interrupted_download_continues_when_started_again(server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        download_files(tmp_path, [server.verified], progress=interrupt)
    assert "data.bin" not in names(tmp_path)
    arrived = (tmp_path / "data.bin.part").stat().st_size
    download_files(tmp_path, [server.verified])
    assert 3_000_000 < arrived < len(CONTENT)
    assert server.requests[-1][1] == f"bytes={arrived}-"
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_connection_may_break_any_number_of_times_while_more_arrives(server, tmp_path):
    server.break_after = len(CONTENT) // (3 * download.TRIES)
    download_files(tmp_path, [server.verified])
    assert len(server.requests) > 3 * download.TRIES
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_server_that_always_fails_is_given_up(server, tmp_path):
    server.failures = 1000
    with pytest.raises(DownloadError, match=f"failed {download.TRIES} times"):
        download_files(tmp_path, [server.verified])
    assert len(server.requests) == download.TRIES


@pytest.mark.parametrize(
    "error", [ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), OSError(errno.ENETUNREACH, "unreachable")]
)
def test_a_connection_may_break_in_any_way(server, tmp_path, monkeypatch, error):
    read, faults = http.client.HTTPResponse.read, [error, error]

    def broken(self, size=None):
        if faults:
            raise faults.pop()
        return read(self, size)

    monkeypatch.setattr(http.client.HTTPResponse, "read", broken)
    download_files(tmp_path, [server.verified])
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_not_tried_again(server, tmp_path):
    (tmp_path / "data.bin.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"^data\.bin: No space left on device; data\.bin\.part is kept"):
        download_files(tmp_path, [server.verified])
    assert len(server.requests) == 1


@pytest.fixture
def pauses(monkeypatch):
    """Return the list of pauses that a download makes, without making them."""
    made = []
    monkeypatch.setattr(download.time, "sleep", made.append)
    return made


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.mark.guarantee(
    "Faults", "Without a network, `download` tries each source once and names the files to fetch by other means."
)
def test_a_source_that_cannot_be_reached_is_tried_once(server, pauses, tmp_path, monkeypatch):
    resolve = socket.getaddrinfo

    def unknown(host, *arguments, **options):
        if host == "nowhere.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    refusing = f"http://127.0.0.1:{closed_port()}"
    files = [RemoteFile(name, f"{refusing}/{name}") for name in ("a.bin", "b.bin")]
    files += [server.verified, RemoteFile("c.bin", "https://nowhere.example/c")]
    messages = []
    with pytest.raises(DownloadError) as caught:
        download_files(tmp_path, files, say=messages.append)
    other = "by other means, and start again with --have their directory"
    assert str(caught.value).splitlines() == [
        f"{refusing[7:]} cannot be reached (Connection refused); "
        f"get {refusing}/a.bin as a.bin, {refusing}/b.bin as b.bin {other}",
        "nowhere.example cannot be reached (Name or service not known); "
        f"get https://nowhere.example/c as c.bin {other}",
    ]
    assert pauses == []
    assert [message.split(":")[0] for message in messages] == ["a.bin", "data.bin", "c.bin"]
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def unreachable_at(attempts, monkeypatch):
    """Have no connection at some attempts, counted from 1."""
    opened, made = download._OPENER, []

    class Opener:
        def open(self, *arguments, **options):
            made.append("an attempt")
            if len(made) in attempts:
                raise urllib.error.URLError(OSError(errno.ENETUNREACH, "Network is unreachable"))
            return opened.open(*arguments, **options)

    monkeypatch.setattr(download, "_OPENER", Opener())
    return made


def test_a_network_that_is_lost_on_the_way_is_waited_for(server, pauses, tmp_path, monkeypatch):
    server.break_after = 6_000_000
    made = unreachable_at({2, 3}, monkeypatch)
    download_files(tmp_path, [server.verified])
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert len(made) == 4
    assert pauses == [1, 2, 4]


def test_what_has_arrived_is_kept_while_there_is_no_network(server, pauses, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        download_files(tmp_path, [server.verified], progress=interrupt)
    unreachable_at({1}, monkeypatch)
    with pytest.raises(DownloadError, match="cannot be reached"):
        download_files(tmp_path, [server.verified])
    assert pauses == []
    download_files(tmp_path, [server.verified])
    assert server.requests[-1][1].startswith("bytes=")


def test_a_server_that_does_not_answer_is_given_up_within_seconds(tmp_path, pauses, monkeypatch):
    waited = []

    def connect(address, timeout, *_):
        waited.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(DownloadError, match=r"example\.org cannot be reached \(timed out\)"):
        download_files(tmp_path, [RemoteFile("data.bin", "https://example.org/file")])
    assert (waited, pauses) == ([download._CONNECT_TIMEOUT], [])


def test_a_server_that_has_answered_may_be_slow(monkeypatch):
    waited = []
    made = namedtuple("Socket", "settimeout")(waited.append)
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", lambda connection: setattr(connection, "sock", made))
    download._Connection("example.org", timeout=60).connect()
    assert waited == [60]


def test_a_file_that_has_changed_is_downloaded_from_its_beginning(server, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        download_files(tmp_path, [server.verified], progress=interrupt)
    server.content, server.version = CONTENT[::-1], '"two"'
    download_files(tmp_path, [server.file])
    assert (tmp_path / "data.bin").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges, server.break_after = False, 2_000_000
    with pytest.raises(DownloadError):
        download_files(tmp_path, [server.verified])
    server.break_after = 0
    download_files(tmp_path, [server.verified])
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_busy_server_is_tried_again(server, tmp_path):
    server.failures = 2
    download_files(tmp_path, [server.verified])
    assert len(server.requests) == 3


def test_a_file_with_a_wrong_sha256_is_deleted(server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match="nothing of it is kept"):
        download_files(tmp_path, [server.verified])
    assert names(tmp_path) == []


def test_a_file_with_a_wrong_md5_is_deleted(server, tmp_path):
    with pytest.raises(DownloadError, match=r"another content than expected \(md5\)"):
        download_files(tmp_path, [replace(server.file, md5="0" * 32)])
    assert names(tmp_path) == []
    download_files(tmp_path, [replace(server.file, md5=hashlib.md5(CONTENT).hexdigest())])
    assert names(tmp_path) == ["data.bin", "downloads.json"]


def test_a_file_of_another_form_than_causalbench_s_is_deleted(server, tmp_path):
    server.content = b"<html>Please prove that you are not a program.</html>"
    with pytest.raises(DownloadError, match="cannot be read"):
        download_files(tmp_path, [replace(server.file, name=CORUM)])
    assert names(tmp_path) == []


def test_a_broken_file_of_an_earlier_download_is_replaced(server, tmp_path):
    table = complexes(20_000)
    corum = replace(server.file, name=CORUM)
    (tmp_path / corum.name).write_bytes(b"<html>torso</html>")
    server.content = b"<html>still broken</html>"
    with pytest.raises(DownloadError):
        download_files(tmp_path, [corum])
    assert (tmp_path / corum.name).read_bytes() == b"<html>torso</html>"
    server.content = table
    download_files(tmp_path, [corum])
    assert (tmp_path / corum.name).read_bytes() == table
    assert check_files(tmp_path, [corum]) == {corum.name: None}


def test_a_stub_is_deleted_and_taken_from_nowhere(server, tmp_path):
    """CausalBench would read it, and count nothing."""
    server.content, corum = complexes(5), replace(server.file, name=CORUM)
    message = rf"wrong \(a stub of {len(server.content)} bytes; the real file has more than 100,000\)"
    with pytest.raises(DownloadError, match=message):
        download_files(tmp_path, [corum])
    assert names(tmp_path) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / CORUM).write_bytes(server.content)
    server.content = complexes(20_000)
    download_files(tmp_path, [corum], have=tmp_path / "mine")
    assert (tmp_path / CORUM).read_bytes() == server.content


def test_an_unavailable_file_does_not_stop_the_others(server, tmp_path):
    gone = replace(server.file, name="gone.bin", url=server.file.url + "s")
    with pytest.raises(DownloadError, match=r"gone\.bin: .* answered 404 .*--have"):
        download_files(tmp_path, [gone, server.verified])
    assert names(tmp_path) == ["data.bin", "downloads.json"]


@pytest.mark.parametrize("name", ["../data.bin", "/etc/data.bin", "..", "", "a\\b"])
def test_a_name_cannot_lead_out_of_the_directory(name):
    with pytest.raises(InputError, match=r"^name: found"):
        RemoteFile(name, "https://example.org/file")


def test_a_wrong_size_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(DownloadError, match="offers 10,240,000 bytes; expected 5"):
        download_files(tmp_path, [replace(server.verified, num_bytes=5)])


def test_a_missing_file_is_requested_once(server, tmp_path):
    with pytest.raises(DownloadError, match="404"):
        download_files(tmp_path, [replace(server.file, url=server.file.url + "s")])
    assert len(server.requests) == 1


def test_only_encrypted_sources_are_trusted(server, tmp_path):
    with pytest.raises(DownloadError, match="found http; expected https"):
        download_files(tmp_path, [replace(server.file, url="http://example.org/file")])
    with pytest.raises(DownloadError, match=r"example\.org/file: found http; expected https"):
        download_files(tmp_path, [replace(server.file, url=server.file.url.replace("/file", "/redirected"))])
    with pytest.raises(DownloadError, match="found file; expected https"):
        download_files(tmp_path, [replace(server.file, url="file:///etc/passwd")])


@pytest.mark.guarantee(
    "Faults",
    "One process at a time writes to the directory of a run, of a sweep, of a download or of a preparation.",
)
def test_one_download_at_a_time(server, tmp_path):
    with (
        lock_directory(tmp_path, "directory", "download"),
        pytest.raises(InputError, match="another download is writing"),
    ):
        download_files(tmp_path, [server.verified])
    assert not server.requests


def test_a_small_disk_is_refused_before_the_download(server, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda directory: usage(1000))
    with pytest.raises(InputError, match=r"expected 0\.0 GB"):
        download_files(tmp_path, [server.verified])
    assert not server.requests


def test_a_small_disk_is_refused_before_files_are_copied(server, tmp_path, monkeypatch):
    if not os.path.exists("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk here")
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda directory: usage(1000))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as have:
        (Path(have) / "data.bin").write_bytes(CONTENT)
        with pytest.raises(InputError, match="GB free on the disk"):
            download_files(tmp_path, [server.verified], have=Path(have))


def test_a_missing_directory_of_files_at_hand_is_refused(server, tmp_path):
    with pytest.raises(InputError, match=r"^have: found no directory '.*typo'"):
        download_files(tmp_path / "data", [server.verified], have=tmp_path / "typo")
    assert not (tmp_path / "data").exists()
    assert not server.requests


def test_files_at_hand_are_used_if_they_are_intact(server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.bin").write_bytes(CONTENT)
    download_files(tmp_path / "data", [server.verified], have=tmp_path / "mine")
    assert not server.requests
    assert (tmp_path / "data" / "data.bin").read_bytes() == CONTENT
    (tmp_path / "mine" / "data.bin").write_bytes(CONTENT[:-1])
    download_files(tmp_path / "other", [server.verified], have=tmp_path / "mine")
    assert len(server.requests) == 1


def test_a_later_check_compares_with_what_was_received(server, tmp_path):
    assert check_files(tmp_path, [server.file]) == {"data.bin": "missing"}
    download_files(tmp_path, [server.file])
    assert check_files(tmp_path, [server.file]) == {"data.bin": None}
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1] + b"x")
    assert check_files(tmp_path, [server.file]) == {"data.bin": "another content than expected (sha256)"}
    for text in ("[]", '{"data.bin": "whole"}'):
        (tmp_path / "downloads.json").write_text(text)
        with pytest.raises(InputError, match="no readable receipt"):
            check_files(tmp_path, [server.file])


def test_every_file_that_causalbench_does_not_make_has_a_source():
    assert {file.name for file in SOURCES} == {name for name in FILES if not name.startswith("dataset_")}
    for file in SOURCES:
        assert re.fullmatch(r"[\w.]+", file.name)
        assert Request(file.url).type == "https"


def test_the_sources_are_those_of_causalbench(monkeypatch):
    pytest.importorskip("causalscbench", reason="causalbench is not installed")
    from causalscbench.data_access.datasets import download_evaluation_files, download_weissmann
    from causalscbench.data_access.utils import download as causalbench_download

    asked = {}
    monkeypatch.setattr(causalbench_download, "download_if_not_exist", lambda url, _, name: asked.update({name: url}))
    for module in (download_evaluation_files, download_weissmann):
        for function in [value for name, value in vars(module).items() if name.startswith("download_")]:
            function("directory")
    known = {file.name: file.url for file in SOURCES}
    # Figshare's address for programs serves the same numbers.
    assert {
        name: url.replace("plus.figshare.com/ndownloader", "ndownloader.figshare.com") for name, url in asked.items()
    } == known


@pytest.mark.skipif(not LIGANDS.exists(), reason="human_lr_pair.txt is not in ../shared/data")
def test_the_known_checksum_is_that_of_causalbench_s_file(tmp_path):
    shutil.copy(LIGANDS, tmp_path)
    known = [file for file in SOURCES if file.sha256]  # the other published checksums need 19 GB
    assert check_files(tmp_path, known) == {"human_lr_pair.txt": None}


def test_the_command_checks_a_directory(tmp_path):
    result = CliRunner().invoke(app, ["download", "--output", str(tmp_path), "--check"])
    assert result.exit_code == 1
    assert re.search(r"k562\.h5ad +missing", result.output)


@pytest.mark.guarantee("Faults", "`download --check` and `doctor` tell stubs of CausalBench's files from the files.")
def test_files_that_stand_for_causalbench_s_are_told(tmp_path):
    path = write_simulated_directory(tmp_path / "simulated", SimulationConfig(genes=12, cells=600, min_cells=20), 0)
    result = CliRunner().invoke(app, ["download", "--output", str(path), "--check"])
    assert result.exit_code == 1
    for line, file in zip(result.output.splitlines(), SOURCES, strict=True):
        size = f"{(path / file.name).stat().st_size:,} bytes"
        told = (
            f"{size} instead of {file.num_bytes:,}" if file.num_bytes else f"a stub of {size}; the real file has more"
        )
        assert re.match(rf"{re.escape(file.name)} +{re.escape(told)}", line)


def test_messages_are_not_read_as_markup(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "download_files", lambda directory, have, say, progress: say("taken from [/x]"))
    result = CliRunner().invoke(app, ["download", "--output", str(tmp_path)])
    assert result.exit_code == 0
    assert "taken from [/x]" in result.output
