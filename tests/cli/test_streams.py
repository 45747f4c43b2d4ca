"""Every command prints on every terminal: whatever the encoding of its streams."""

import io
import json
import re
import sys
from itertools import takewhile

import pytest
import typer

from catran_causalbench.causalbench.build.from_simulation import write_simulated_directory
from catran_causalbench.cli import app, doctor
from catran_causalbench.simulation.causal_model import SimulationConfig

COMMANDS = sorted(typer.main.get_command(app).commands)
ENCODINGS = pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])


@pytest.fixture
def run(monkeypatch):
    """Run a command with streams of an encoding; return its exit code and the bytes that it wrote to both."""

    def run(encoding, *arguments):
        files = io.BytesIO(), io.BytesIO()
        for name, file in zip(("stdout", "stderr"), files, strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding=encoding, write_through=True))
        with pytest.raises(SystemExit) as end:
            app([str(argument) for argument in arguments])
        return end.value.code, *(file.getvalue() for file in files)

    return run


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    directory = tmp_path_factory.mktemp("Gene für später – 基因") / "simulated"
    return write_simulated_directory(directory, SimulationConfig(genes=12, cells=900, min_cells=20), 0)


@ENCODINGS
def test_help_and_descriptions(run, encoding):
    for arguments in [["--help"], ["presets"], ["methods"], *([command, "--help"] for command in COMMANDS)]:
        code, out, err = run(encoding, *arguments)
        assert (code, err) == (0, b""), arguments
        assert out


@ENCODINGS
def test_errors_name_files_with_any_name(run, encoding, tmp_path):
    code, out, err = run(encoding, "evaluate", tmp_path / "基因–ä", "edges.csv")
    assert (code, out) == (2, b"")
    assert b"Error: data_directory: found no directory " in err
    assert run(encoding, "evaluate", "--wrong–option")[0] == 2


@ENCODINGS
def test_tables_are_drawn_with_what_there_is(run, encoding, simulated):
    code, out, err = run(encoding, "evaluate", simulated, simulated / "true_network.csv")
    assert (code, err) == (0, b"")
    text = out.decode(encoding)
    assert re.search(r"mean Wasserstein\s[↑^] ", text)
    assert ("↑" in text) == (encoding == "utf-8")
    metrics = takewhile(lambda line: "reference network" not in line, text.splitlines())
    assert len({len(line) for line in metrics if "|" in line or "│" in line}) == 1, "columns are aligned"
    assert ("─" in text) == (encoding == "utf-8")


@ENCODINGS
def test_checklists_are_marked_with_what_there_is(run, encoding, simulated, monkeypatch):
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")  # importing CausalBench takes ten seconds
    code, out, err = run(encoding, "doctor", simulated)
    assert (code, err) == (1, b"")
    good, bad = {"utf-8": "✓✗"}.get(encoding, "+x")
    text = out.decode(encoding)
    assert re.search(rf"^ {re.escape(good)} +rpe1.h5ad ", text, flags=re.MULTILINE)
    assert re.search(rf"^ {bad} +causalbench_run can be imported ", text, flags=re.MULTILINE)


def test_json_is_exact_in_any_encoding(run, simulated):
    code, out, _ = run("latin-1", "compare", simulated, "--json", finished(simulated.parent))
    assert code == 0
    answer = json.loads(out.decode("latin-1"))
    assert answer["data"]["title"].startswith("SIMULATED DATA – no cell here was measured")
    assert answer["runs"][0]["run"] == "Läufe – 基因"


def finished(directory):
    """Make an output directory of causalbench_run."""
    run = directory / "Läufe – 基因"
    run.mkdir()
    statistics = {"output_graph": {"wasserstein_distance": {"mean": 0.5}}, "false_omission_rate": 0.1}
    metrics = {"quantitative_test_evaluation": statistics, "run_time": 2.0}
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "output_network.csv").write_text(",0,1\n0,A,B\n")
    return run


def test_streams_that_have_no_encoding_are_left_alone(monkeypatch):
    """As in notebooks and under pythonw, where there is none at all."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit):
        app(["presets"])
    assert "paper" in stream.getvalue()


def test_output_that_cannot_be_written_is_told_in_one_line(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(SystemExit) as end:
        app(["presets"])
    assert end.value.code == 1
    assert capsys.readouterr().err == "Error: [Errno 28] No space left on device\n"


def test_a_reader_that_goes_away_is_no_error(monkeypatch, capsys):
    """As in ``catran-causalbench presets | head -1``."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(SystemExit):
        app(["presets"])
    assert capsys.readouterr().err == ""


def test_names_that_no_disk_can_hold_are_told_in_one_line(capsys, simulated):
    for arguments in (["evaluate", "x" * 300, "edges.csv"], ["evaluate", str(simulated), "x" * 300]):
        with pytest.raises(SystemExit):
            app(arguments)
        text = capsys.readouterr().err
        assert "File name too long" in text
        assert text.count("\n") == 1
