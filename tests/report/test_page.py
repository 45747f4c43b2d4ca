"""The report: its page by an HTML parser and in a browser, its files, the command, and what it refuses."""

import base64
import json
import math
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.report.page import write_report
from catran_causalbench.sweep.plan import EvaluationProtocol
from catran_causalbench.sweep.records import Curve, RunResult

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """The tags of a page, which must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_runs_with_other_protocols_are_not_pooled(tmp_path, result, write_sweep, draw_less):
    """Mean Wasserstein falls with more edges, so results with 500 and with 1,000 edges cannot be compared."""
    draw_less(0)
    for edges in (500, 1000):
        write_sweep(tmp_path / str(edges), [result(w1=100 / edges)])
        (tmp_path / str(edges) / "sweep.json").write_text(json.dumps(asdict(EvaluationProtocol(edges=edges))))
    made = write_report([tmp_path / "500", tmp_path / "1000"], tmp_path / "report")
    assert [group["name"] for group in made["groups"]] == [
        "30 genes, 4,500 cells, edges 500",
        "30 genes, 4,500 cells, edges 1000",
    ]
    metrics = [group["methods"][0]["metrics"] for group in made["groups"]]
    assert [value["mean"] for row in metrics for value in row if value["name"] == "mean_wasserstein"] == [0.2, 0.1]


@pytest.mark.guarantee(
    "Determinism",
    "Runs of one sweep, and of sweeps reported together, have the same code, cells, reference networks, "
    "true network and settings of a method; others are refused.",
)
@pytest.mark.parametrize("key", ["code", "settings of catran", "cells of simulated-0"])
def test_one_name_never_stands_for_two_things(tmp_path, result, write_sweep, key):
    for value in ("a", "b"):
        sweep = write_sweep(tmp_path / "sweeps" / value, [result()], edges=False)
        (sweep / "sweep.json").write_text(json.dumps({**asdict(EvaluationProtocol()), key: value}))
    for sweeps in ([tmp_path / "sweeps" / "a", sweep], [tmp_path / "sweeps"]):
        with pytest.raises(InputError, match=rf"^{key}: found 'b' in '.*/b', where '.*/a' has 'a'; expected the same"):
            write_report(sweeps, tmp_path / "report")


def test_page_is_valid_and_loads_nothing_else(report):
    text = (report / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert not re.match(r"(https?:)?//", attributes.get(name) or "")
    assert not page.all("link")
    assert all("src" not in script for script in page.all("script"))
    assert "@import" not in text
    assert "url(" not in text
    assert len(text) < 5e6


def test_page_shows_all_figures_with_descriptions(report):
    images = Page((report / "index.html").read_text()).all("img")
    names = ("truth", "precision-recall", "truth-by-fraction", "calibration", "challenge", "wasserstein-by-fraction")
    names += ("wasserstein-by-edges", "plane", "cost", "network")
    assert len(images) == len(names)
    for image, name in zip(images, names, strict=True):
        assert "SIMULATED" in image["alt"]
        kind, content = image["src"].split(";base64,")
        assert b"<svg" in base64.b64decode(content) if "svg" in kind else base64.b64decode(content)[1:4] == b"PNG"
        for ending in ("png", "pdf"):
            assert (report / "figures" / f"simulated-30-genes-4-500-cells-{name}.{ending}").stat().st_size > 1000


def test_page_lists_failures_as_text(report):
    text = (report / "index.html").read_text()
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; convergence" in text
    assert "simulated-0/sparserc-seed0" in text


def test_results_have_a_row_per_run(report):
    table = pd.read_csv(report / "results.csv")
    assert len(table) == 4 * 3 * 4
    assert {"method", "fraction", "effect_recovery", "precision", "corum_f1", "machine_cores"} <= set(table.columns)
    assert "SIMULATED" in (report / "table.md").read_text()


@pytest.mark.parametrize("case", ["one run", "NaN", "long name", "15 methods", "gaps", "dollars", "no edges"])
def test_whatever_was_run_can_be_reported(tmp_path, result, write_sweep, draw_less, case):
    draw_less()
    none = {"effect_recovery": math.nan, "false_omission_rate": math.nan, "wasserstein": Curve([], [])}
    measured = {"simulated": False, "w1": math.nan}
    results = {
        "one run": [result(simulated=False, wasserstein=Curve([20], [0.2]), references={})],
        "NaN": [result(name, seed=seed, **measured) for name in ("random", "guanlab") for seed in (0, 1)],
        "long name": [result("x" * 60, seed=seed, simulated=False) for seed in (0, 1)],
        "15 methods": [result(f"method_with_a_long_name_{number}") for number in range(15)],
        "gaps": [result(fraction=0.5), result("guanlab"), result("oracle", wasserstein=Curve([], []))],
        "dollars": [result("$a_b$^{c"), result("a$")],
        "no edges": [result(num_edges=0, w1=math.nan, **none)],
    }[case]
    made = write_report([write_sweep(tmp_path / "sweep", results, edges=len(results) < 5)], tmp_path / "report")
    assert Page(Path(made["page"]).read_text()).open == []


def test_figures_of_data_whose_names_differ_in_symbols_only_are_all_kept(tmp_path, result, write_sweep, draw_less):
    draw_less(1)
    results = [result(simulated=False, data=name) for name in ("+", "-")]
    write_report([write_sweep(tmp_path / "sweep", results)], tmp_path / "report")
    figures = [path.stem.split("-wasserstein")[0] for path in (tmp_path / "report" / "figures").glob("*-edges.png")]
    assert sorted(figures) == ["data", "data-2"]


def test_command_prints_where_the_page_is_and_json(tmp_path, result, write_sweep, draw_less):
    draw_less(0)
    sweep = write_sweep(tmp_path / "sweep", [result(), result(data_set=1)], edges=False)
    arguments = ["report", str(sweep), "--output", str(tmp_path / "out")]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert str(tmp_path / "out" / "index.html") in answer.output
    assert CliRunner().invoke(app, arguments).exit_code == 2  # not without --overwrite
    answer = CliRunner().invoke(app, [*arguments, "--overwrite", "--json"])
    summary = json.loads(answer.output)
    assert summary["page"] == str(tmp_path / "out" / "index.html")
    (group,) = summary["groups"]
    assert (group["name"], group["replicate"]) == ("30 genes, 4,500 cells", "data set")
    (method,) = group["methods"]
    assert method["name"] == "catran"
    assert method["metrics"][0] == {"name": "effect_recovery", "mean": 0.5, "half_width": 0.0, "count": 2}
    assert summary["conclusions"][0].startswith("SIMULATED · 30 genes, 4,500 cells · 2 data sets: ")


@pytest.mark.guarantee(
    "Faults", "`--overwrite` replaces what the same command made, and refuses a directory that holds anything else."
)
def test_a_directory_that_is_no_report_is_never_replaced(tmp_path, result, write_sweep, draw_less):
    draw_less(0)
    sweep = write_sweep(tmp_path / "sweep", [result()])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("do not lose this")
    with pytest.raises(InputError, match=r"which holds other things such as 'index\.html'"):
        write_report([sweep], tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "index.html").read_text() == "do not lose this"
    write_report([sweep], tmp_path / "report")
    (tmp_path / "report" / "thesis.txt").write_text("nor this")
    with pytest.raises(InputError, match=r"which holds other things such as 'thesis\.txt'"):
        write_report([sweep], tmp_path / "report", overwrite=True)
    assert (tmp_path / "report" / "thesis.txt").read_text() == "nor this"
    with pytest.raises(InputError, match="no finished run"):
        write_report([tmp_path / "mine"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_running_sweep_can_be_reported(tmp_path, monkeypatch, result, write_sweep, draw_less):
    """A run ends, and a failed one succeeds, while the report reads the directory."""
    draw_less(0)
    sweep = write_sweep(tmp_path / "sweep", [result()])
    (sweep / "simulated-0" / "failure.json").symlink_to("what was listed and is gone")
    read = RunResult.read

    def read_while_a_run_ends(directory):
        write_sweep(sweep / "later", [result(data_set=1)]) if not (sweep / "later").exists() else None
        return read(directory)

    monkeypatch.setattr(RunResult, "read", read_while_a_run_ends)
    assert write_report([sweep], tmp_path / "report")["failed"] == 0


def test_a_report_below_a_file_is_refused(tmp_path, result, write_sweep):
    sweep = write_sweep(tmp_path / "sweep", [result()])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output: found '.*/x', whose parent cannot be made"):
        write_report([sweep], tmp_path / "file" / "x")


_PROBE = """<script>
window.addEventListener("load", () => {
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  const images = [...document.images].filter(image => !image.naturalWidth).length;
  document.querySelector("thead button").click();
  const first = document.querySelector("tbody th").textContent.trim();
  document.title = `overflow=${wide} width=${window.innerWidth} broken=${images} first=${first}`;
});
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium in PATH (Debian's package chromium)")
@pytest.mark.parametrize("width", [1280, 400])
def test_browser_shows_the_page_without_errors_or_overflow(report, tmp_path, width):
    page = tmp_path / "page.html"
    page.write_text((report / "index.html").read_text().replace("</body>", _PROBE))
    # A window is at least 500 pixels wide, so the page is shown in a frame of the width.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe><script>'
        'onload = () => setTimeout(() => document.title = document.querySelector("iframe").contentDocument.title, 300)'
        "</script>"
    )
    result = subprocess.run(
        [
            *(
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--allow-file-access-from-files",
            ),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=5000"),
            *("--window-size=1400,900", "--dump-dom", frame.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    title = re.search(r"<title>(.*?)</title>", result.stdout)
    assert title, result.stderr[-2000:]
    found = dict(part.split("=") for part in title.group(1).split())
    assert found["width"] == str(width)
    assert int(found["overflow"]) <= 0
    assert found["broken"] == "0"
    assert found["first"] == "random"  # the click sorted by name, descending
    assert "CONSOLE" not in result.stderr, result.stderr
