"""The file that keeps the reference networks: when it counts, and when it is made again."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from odd_references import GENES, write_odd_references

from catran_causalbench.causalbench import fingerprint, network_cache
from catran_causalbench.causalbench.dataset_spec import DatasetSpec
from catran_causalbench.causalbench.manifest import EXPRESSION_FILES, NETWORK_FILES, REFERENCE_FILES
from catran_causalbench.causalbench.network_cache import cache_files, cached_networks
from catran_causalbench.causalbench.reference_files import NAMES, Networks
from catran_causalbench.errors import InputError

RPE1 = DatasetSpec()


class Benchmark:
    """A directory of reference files, and how often they were read."""

    def __init__(self, directory):
        self.directory, self.readings = directory, 0

    def networks(self, spec=RPE1, genes=GENES):
        return cached_networks(self.directory, spec, genes)

    def read(self, directory, dataset_name, gene_names):
        """Return networks that depend on everything, as fast as the files are small."""
        self.readings += 1
        seed = sum(map(ord, dataset_name + "".join(gene_names)))
        pairs = np.random.default_rng(seed).random((len(NAMES), len(gene_names), len(gene_names))) < 0.3
        return Networks(dict(zip(NAMES, pairs, strict=True)), ["A", "B"])


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    write_odd_references(tmp_path)
    made = Benchmark(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(network_cache, "read_networks", made.read)
    monkeypatch.setattr(network_cache, "chipseq_file", lambda dataset_name: tmp_path / "chipseq.csv")
    return made


def same(one, other):
    return one.ambiguous == other.ambiguous and all(
        np.array_equal(one.pairs[name], other.pairs[name]) and one.pairs[name].dtype == other.pairs[name].dtype
        for name in NAMES
    )


def test_networks_are_read_once(benchmark):
    first, again = benchmark.networks(), benchmark.networks()
    assert benchmark.readings == 1
    assert list(first.pairs) == list(again.pairs) == list(NAMES)
    assert same(first, again)
    assert (benchmark.directory / "networks_rpe1.npz").is_file()
    assert not (benchmark.directory / "home").exists()


def test_every_data_set_has_its_file(benchmark):
    specs = [DatasetSpec(name, filtered) for filtered in (False, True) for name in ("weissmann_k562", "weissmann_rpe1")]
    assert [cache_files(benchmark.directory, spec)[0].name for spec in specs] == [*NETWORK_FILES]
    for spec in specs * 2:
        assert same(benchmark.networks(spec), benchmark.read("", spec.dataset_name, GENES))
    assert benchmark.readings == len(specs) * 3, "each was read once, apart from the comparisons"


@pytest.mark.parametrize("name", [*EXPRESSION_FILES, *REFERENCE_FILES, "chipseq.csv"])
def test_another_content_of_any_file_counts(benchmark, name):
    benchmark.networks()
    path = benchmark.directory / name
    os.utime(path, (0, 0))
    benchmark.networks()
    assert benchmark.readings == 1, "the time alone does not"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    benchmark.networks()
    benchmark.networks()
    assert benchmark.readings == 2


def test_the_time_of_files_counts_that_are_too_large_to_be_read(benchmark, monkeypatch):
    monkeypatch.setattr(fingerprint, "_LARGE", 100)
    benchmark.networks()
    os.utime(benchmark.directory / EXPRESSION_FILES[0], (0, 0))
    benchmark.networks()
    assert benchmark.readings == 2


def test_other_genes_and_other_code_count(benchmark, monkeypatch):
    first = benchmark.networks()
    assert not same(benchmark.networks(genes=[*GENES[:-1], "X"]), first)
    benchmark.networks(genes=GENES[::-1])
    assert benchmark.readings == 3
    monkeypatch.setattr(network_cache, "code_version", lambda: "another")
    benchmark.networks(genes=GENES[::-1])
    assert benchmark.readings == 4


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    return content.replace(b"PK\x01\x02", b"PK\x01\x03", 1)


def junk(content):
    return b"junk"


def foreign(content):
    return content.replace(b"networks.npy", b"networkz.npy")


@pytest.mark.guarantee("Faults", "A damaged or outdated file of reference networks is made again.")
@pytest.mark.parametrize("damage", [cut, flip, junk, foreign])
def test_a_damaged_file_is_made_again(benchmark, damage):
    first, path = benchmark.networks(), cache_files(benchmark.directory, RPE1)[0]
    path.write_bytes(damage(path.read_bytes()))
    assert same(benchmark.networks(), first)
    benchmark.networks()
    assert benchmark.readings == 2


def refuse_writing_to(places, monkeypatch):
    """Have a disk on which nothing can be written below some places; root may write to read-only directories."""
    write = network_cache.write_atomically

    def refusing(path, content):
        if any(path.is_relative_to(place) for place in places):
            raise InputError.of("path", f"{path}, which cannot be written", "a writable place")
        return write(path, content)

    monkeypatch.setattr(network_cache, "write_atomically", refusing)


def test_beside_data_that_cannot_be_written_the_user_s_cache_serves(benchmark, monkeypatch, tmp_path):
    refuse_writing_to([tmp_path / name for name in NETWORK_FILES], monkeypatch)
    first = benchmark.networks()
    assert same(benchmark.networks(), first)
    assert benchmark.readings == 1
    (kept,) = (tmp_path / "home").rglob("*.npz")
    assert kept.name == "networks_rpe1.npz"
    other = cache_files(tmp_path / "other", RPE1)[1]
    assert other.name == kept.name
    assert other != kept, "another directory has another file"


def test_without_any_place_the_networks_are_read_each_time(benchmark, monkeypatch, tmp_path, caplog):
    refuse_writing_to([tmp_path], monkeypatch)
    assert same(benchmark.networks(), benchmark.networks())
    assert benchmark.readings == 2
    assert "have to be read again next time" in caplog.text
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "chipseq.csv"))  # where no directory can be made
    benchmark.networks()


def test_the_home_of_the_user_holds_the_cache_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert cache_files(tmp_path, RPE1)[1].is_relative_to(tmp_path / "me" / ".cache" / "catran_causalbench")


WRITER = """
import sys
from pathlib import Path
from catran_causalbench.causalbench import network_cache
path = Path(sys.argv[1])
for _ in range(20):
    network_cache._write(network_cache._read(path, "a key", 12), "a key", [path])
"""


@pytest.mark.guarantee("Several processes", "Processes that keep the reference networks at one time do not interfere.")
def test_processes_may_write_at_one_time(benchmark, tmp_path):
    path, expected = tmp_path / "networks_rpe1.npz", benchmark.read("", "rpe1", GENES)
    network_cache._write(expected, "a key", [path])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], env=environment) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        assert same(network_cache._read(path, "a key", len(GENES)), expected)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [each.name for each in tmp_path.glob("*part*")] == []
