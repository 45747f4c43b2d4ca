"""The report of a sweep: its statistics by hand, its page by an HTML parser and a browser."""

import base64
import json
import math
import os
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from catran_causalbench.cli import app
from catran_causalbench.errors import InputError
from catran_causalbench.report import write_report
from catran_causalbench.report.aggregation import (
    by_fraction,
    challenge_figures,
    estimate,
    group_results,
    mean_curve,
    score_of_medians,
    summarise,
)
from catran_causalbench.report.conclusions import compare, headline
from catran_causalbench.report.figure_style import method_styles, spread
from catran_causalbench.report.metrics import METRICS, Estimate
from catran_causalbench.report.tables import incomplete, markdown, metric_table
from catran_causalbench.sweep.plan import EvaluationProtocol
from catran_causalbench.sweep.records import Curve, GroundTruthScores, RunResult

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def record(method="catran", world=0, fraction=1.0, w1=0.2, captured=0.5, simulated=True, seed=0, **others):
    """One run; a simulated world by its number, or the real data set ``screen``."""
    truth = GroundTruthScores(captured, 0.3, 0.4, 0.9, Curve([10, 20], [0.8, 0.6]), Curve([10, 20], [0.1, 0.2]), 0.7)
    run = RunResult(
        method=method,
        data=f"world-{world}" if simulated else "screen",
        headline=f"SIMULATED DATA – no cell here was measured; 30 genes, seed {world}" if simulated else "A screen",
        simulated=simulated,
        regime="interventional" if fraction == 1 else "partial_interventional",
        fraction=fraction,
        seed=seed,
        num_edges=20,
        seconds=2.0,
        peak_megabytes=300.0,
        mean_wasserstein=w1,
        false_omission_rate=0.05,
        excess_wasserstein=w1 / 4,
        wasserstein=Curve([10, 20], [2 * w1, w1]),
        references={"corum": {"precision": 0.1, "recall": 0.2, "f1": 0.13}},
        truth=truth if simulated else None,
        machine={"processor": "a processor", "cores": 2, "gpu": ""},
    )
    return replace(run, **others)


def family_of(*records):
    (group,) = group_results([(Path(str(number)), run) for number, run in enumerate(records)], {})
    return group


def write_sweep(folder, records, edges=True):
    for number, run in enumerate(records):
        place = folder / run.data / f"{number:03d}"
        place.mkdir(parents=True)
        run.write(place)
        if edges:
            pairs = [(f"GENE{i}", f"GENE{j}") for i in range(5) for j in range(5) if i != j]
            pd.DataFrame(pairs).to_csv(place / "output_network.csv")
    return folder


def full_sweep(folder, methods=("catran", "mean_difference", "random", "oracle"), worlds=(0, 1, 2)):
    """Every method on every world and fraction; each method better than the next."""
    return write_sweep(
        folder,
        [
            record(method, world, fraction, (0.2 - 0.01 * rank) * fraction**0.1 + 0.01 * world, 0.9 - 0.1 * rank)
            for rank, method in enumerate(methods)
            for world in worlds
            for fraction in (0.25, 0.5, 0.75, 1.0)
        ],
    )


# Statistics


def test_interval_is_students():
    # mean 3, deviation √2.5, t quantile for 4 degrees of freedom 2.776445
    found = estimate([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.count == 5
    assert found.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)


def test_interval_leaves_out_nan_and_needs_two_values():
    assert estimate([1.0, math.nan, 3.0]) == Estimate(2.0, pytest.approx(12.706205, rel=1e-6), 2)
    assert estimate([7.0]).mean == 7
    assert math.isnan(estimate([7.0]).half_width)
    assert math.isnan(estimate([]).mean)


def test_challenge_figures_by_hand():
    # Areas 0.25·(1/2·0.1 + 0.2 + 0.3 + 1/2·0.4) and, in the other world, twice that; improvements 0.3 and 0.6
    runs = [
        record("catran", world, fraction, w1 * (1 + world))
        for world in (0, 1)
        for fraction, w1 in ((0.25, 0.1), (0.5, 0.2), (0.75, 0.3), (1.0, 0.4))
    ]
    row = summarise(family_of(*runs))["catran"]
    assert row["challenge_score"].mean == pytest.approx((0.1875 + 0.375) / 2)
    assert row["improvement"].mean == pytest.approx(0.45)
    assert row["challenge_score"].count == 2


def test_challenge_takes_the_median_over_seeds():
    runs = [
        record(world=0, fraction=fraction, w1=w1, seed=seed, simulated=False)
        for fraction, values in ((0.25, (0.1, 0.2, 0.9)), (1.0, (0.3, 0.4, 0.4)))
        for seed, w1 in enumerate(values)
    ]
    assert score_of_medians(family_of(*runs)) == {"catran": pytest.approx(0.75 * (0.2 + 0.4) / 2)}
    # Within one of several worlds the median is taken too.
    worlds = [replace(run, simulated=True, headline="SIMULATED; 30 genes, seed 5", data="world-5") for run in runs]
    worlds += [record(world=6, fraction=fraction) for fraction in (0.25, 1.0)]
    found = challenge_figures(family_of(*worlds))
    assert found.loc[("catran", "world-5"), "challenge_score"] == pytest.approx(0.75 * 0.3)


def test_a_missing_fraction_leaves_the_challenge_score_out():
    runs = [record("catran", fraction=fraction) for fraction in (0.25, 0.5, 1.0)]
    runs += [record("guanlab", fraction=fraction) for fraction in (0.5, 1.0)]
    summary = summarise(family_of(*runs))
    assert summary["catran"]["challenge_score"].count == 1
    assert summary["guanlab"]["challenge_score"].count == 0


def test_worlds_of_the_same_settings_are_pooled():
    other = record(world=9, headline="SIMULATED DATA – no cell here was measured; 99 genes, seed 9", data="large")
    found = [record(world=1), record(world=2), other, record(simulated=False), record(simulated=False, seed=1)]
    groups = group_results([(Path(), run) for run in found], {})
    assert [(group.name, group.replicate, len(group.records)) for group in groups] == [
        ("30 genes", "world", 2),
        ("99 genes", "seed", 1),
        ("screen", "seed", 2),
    ]
    assert "SIMULATED" in groups[0].title
    assert "SIMULATED" not in groups[2].title


def test_controls_only_are_a_family_of_their_own():
    found = [record(), record(regime="observational", fraction=0.0)]
    assert len(group_results([(Path(), run) for run in found], {})) == 2


def test_runs_by_other_rules_are_not_pooled(tmp_path):
    """Mean Wasserstein falls with more edges, so sweeps over 500 and over 1,000 have nothing to say to each other."""
    for edges in (500, 1000):
        write_sweep(tmp_path / str(edges), [record(w1=100 / edges)])
        (tmp_path / str(edges) / "sweep.json").write_text(json.dumps(asdict(EvaluationProtocol(edges=edges))))
    made = write_report([tmp_path / "500", tmp_path / "1000"], tmp_path / "report")
    assert [group["name"] for group in made["group_results"]] == ["30 genes, edges 500", "30 genes, edges 1000"]
    means = [group["methods"]["catran"]["mean_wasserstein"]["mean"] for group in made["group_results"]]
    assert means == [0.2, 0.1]


@pytest.mark.parametrize("key", ["code", "settings of catran", "cells of world-0"])
def test_one_name_never_stands_for_two_things(tmp_path, key):
    for value in ("a", "b"):
        sweep = write_sweep(tmp_path / "sweeps" / value, [record()], edges=False)
        (sweep / "sweep.json").write_text(json.dumps({**asdict(EvaluationProtocol()), key: value}))
    for folders in ([tmp_path / "sweeps" / "a", sweep], [tmp_path / "sweeps"]):
        with pytest.raises(InputError, match=rf"^{key}: found 'b' in '.*/b', where '.*/a' has 'a'; expected the same"):
            write_report(folders, tmp_path / "report")


def test_figures_are_of_the_largest_fraction():
    runs = [record(world=world, fraction=fraction, captured=fraction) for world in (0, 1) for fraction in (0.5, 1.0)]
    group = family_of(*runs)
    assert summarise(group)["catran"]["captured"] == Estimate(1.0, 0.0, 2)
    assert by_fraction(group, "captured")["catran"][0.5].mean == 0.5
    assert summarise(group)["catran"]["corum f1"].mean == pytest.approx(0.13)


def test_curves_keep_what_all_replicates_have():
    runs = [record(world=0), record(world=1, w1=0.4), record(world=2, wasserstein=Curve([20], [0.3]))]
    runs.append(record(world=0, fraction=0.5, w1=9.0))  # of no account: not the largest fraction
    curve = mean_curve(family_of(*runs), lambda run: run.wasserstein)["catran"]
    assert list(curve) == [20]
    assert curve[20].mean == pytest.approx((0.2 + 0.4 + 0.3) / 3)


def test_headline_says_where_catran_leads_and_loses():
    runs = [
        record(method, world, w1=w1 + 0.1 * world, captured=captured + 0.01 * world)
        for method, w1, captured in (("catran", 0.2, 0.6), ("guanlab", 0.3, 0.5), ("oracle", 0.9, 1.0))
        for world in (0, 1, 2)
    ]
    verdicts = {comparison.metric: comparison.verdict for comparison in compare(family_of(*runs))}
    # Worlds differ far more than methods do, but within each world the difference is the same.
    assert verdicts["captured"] == "leads"
    assert verdicts["mean_wasserstein"] == "loses"
    assert verdicts["precision"] == "level"
    assert re.search(
        r"catran leads in captured effect \(0.610 against 0.510 of guanlab\).*loses in mean W",
        headline(family_of(*runs)),
    )


def test_headline_is_cautious_with_little():
    assert "catran alone has scores, so there is nothing to compare" in headline(family_of(record()))
    assert "the oracle alone has scores" in headline(family_of(record("oracle")))
    assert "(one result each, " in headline(family_of(record(w1=0.3), record("guanlab")))


def test_one_replicate_decides_nothing():
    comparisons = compare(family_of(record(w1=0.3, captured=0.9), record("guanlab", captured=0.1)))
    assert {comparison.verdict for comparison in comparisons} == {"level"}


def test_a_rival_with_missing_replicates_is_not_the_best():
    records = [record(world=world, captured=0.4) for world in range(3)]
    records += [record("mean_difference", world=world, captured=0.3) for world in range(3)]
    records += [record("betterboost", world=1, captured=0.9)]
    assert {comparison.rival for comparison in compare(family_of(*records))} == {"mean_difference"}


def test_a_catran_with_missing_replicates_is_compared_on_those_it_has():
    records = [record(world=world, captured=0.9 - world / 10) for world in (0, 1)]
    records += [record("guanlab", world=world, captured=[0.95, 0.86, 0.1, 0.1][world]) for world in range(4)]
    group = family_of(*records)
    comparison = compare(group)[0]
    assert (comparison.own, comparison.other) == (pytest.approx(0.85), pytest.approx(0.905))
    assert headline(group).endswith("; it has 2 of 4 worlds, and is compared on those.")
    assert "**0.850" not in markdown(group), "the two worlds it has are the easy ones"
    other = [record("catran-paper", world=world, captured=0.2) for world in range(4)]
    assert compare(family_of(*records, *other))[0].method == "catran-paper"


def test_seeds_that_change_nothing_decide_nothing():
    runs = [record("catran", seed=seed, simulated=False, w1=0.201) for seed in range(3)]
    runs += [record("guanlab", seed=seed, simulated=False, w1=0.2) for seed in range(3)]
    assert {comparison.verdict for comparison in compare(family_of(*runs))} == {"level"}
    assert "(one result each, " in headline(family_of(*runs))
    runs[0] = replace(runs[0], mean_wasserstein=0.2011)
    assert "leads" in {comparison.verdict for comparison in compare(family_of(*runs))}


def test_best_value_is_bold_and_the_oracle_is_none():
    group = family_of(record("catran", captured=0.7), record("guanlab", captured=0.6), record("oracle", captured=1.0))
    table = metric_table(group)
    column = [metric.name for metric in table.columns].index("captured")
    assert {name: cells[column].best for name, cells in table.rows.items()} == {
        "oracle": False,
        "catran": True,
        "guanlab": False,
    }
    text = markdown(group)
    assert "| **catran** | **0.700** |" in text
    assert all(part in text for part in ("SIMULATED", "world-0", "seeds 0", "a processor", "20 edges"))


def test_missing_replicates_are_said():
    group = family_of(record(world=0), record(world=1), record("guanlab", world=1), record("random", fraction=0.5))
    assert incomplete(group) == {"guanlab": "1 of 2 worlds", "random": "0 of 2 worlds"}
    assert "| guanlab (1 of 2 worlds) |" in markdown(group)


@pytest.mark.parametrize(
    ("name", "value", "half_width", "text"),
    [
        ("captured", 0.12345, 0.01, "0.123 ± 0.010"),
        ("improvement", -0.02, math.nan, "−0.020"),
        ("seconds", 1234.4, 2.2, "1,234 ± 2"),
        ("seconds", 0.002, 0.0004, "<0.01 ± <0.01"),
        ("captured", math.nan, math.nan, "–"),
    ],
)
def test_number_formats(name, value, half_width, text):
    assert METRICS[name].text(Estimate(value, half_width, 2)) == text


def test_labels_are_spread():
    places = spread([0.1, 0.5, 0.5, 0.5, 0.9], 0.1)
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in pairwise(places))
    assert places[2] == pytest.approx(0.5)
    assert spread([0.0, 0.0], 0.1)[0] == 0


def test_catran_keeps_its_colour():
    few, many = method_styles(["catran", "a"]), method_styles(["catran", "catran-paper", *"abcdefghijkl"])
    assert few["catran"].colour == many["catran"].colour == many["catran-paper"].colour
    others = {(look.colour, look.marker, str(look.dashes)) for name, look in many.items() if "catran" not in name}
    assert len(others) == 12


# The page


class Page(HTMLParser):
    """What a page holds: its tags, and whether they are closed in order."""

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


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    sweep = full_sweep(folder / "sweep")
    failure = sweep / "world-0" / "sparserc-seed0"
    failure.mkdir()
    (failure / "failure.json").write_text(json.dumps({"type": "ValueError", "message": "<b>no</b> convergence"}))
    write_report([sweep], folder / "report")
    return folder / "report"


def test_page_is_whole_and_needs_nothing_else(report):
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


def test_page_shows_all_figures_with_words(report):
    images = Page((report / "index.html").read_text()).all("img")
    names = ("truth", "precision-recall", "truth-by-fraction", "challenge", "wasserstein-by-fraction")
    names += ("wasserstein-by-edges", "plane", "cost", "network")
    assert len(images) == len(names)
    for image, name in zip(images, names, strict=True):
        assert "SIMULATED" in image["alt"]
        kind, content = image["src"].split(";base64,")
        assert b"<svg" in base64.b64decode(content) if "svg" in kind else base64.b64decode(content)[1:4] == b"PNG"
        for ending in ("png", "pdf"):
            assert (report / "figures" / f"simulated-30-genes-{name}.{ending}").stat().st_size > 1000


def test_page_lists_failures_as_text(report):
    text = (report / "index.html").read_text()
    assert "ValueError: &lt;b&gt;no&lt;/b&gt; convergence" in text
    assert "world-0/sparserc-seed0" in text


def test_results_have_a_row_per_run(report):
    table = pd.read_csv(report / "results.csv")
    assert len(table) == 4 * 3 * 4
    assert {"method", "fraction", "captured", "precision", "corum f1", "machine cores"} <= set(table.columns)
    assert "SIMULATED" in (report / "table.md").read_text()


@pytest.mark.parametrize(
    "records",
    [
        [record(simulated=False, wasserstein=Curve([20], [0.2]), references={})],
        [record(method, seed=seed, simulated=False, w1=math.nan) for method in ("random", "x" * 60) for seed in (0, 1)],
        [record(f"method_with_a_long_name_{number}") for number in range(15)],
        [record("catran", fraction=0.5), record("guanlab"), record("oracle", wasserstein=Curve([], []))],
        [record("$a_b$^{c"), record("a$")],
        [record(num_edges=0, w1=math.nan, captured=math.nan, false_omission_rate=math.nan, wasserstein=Curve([], []))],
    ],
    ids=["one run", "NaN", "15 methods", "gaps", "dollars", "no edges"],
)
def test_whatever_was_run_can_be_reported(tmp_path, records):
    made = write_report([write_sweep(tmp_path / "sweep", records, edges=len(records) < 5)], tmp_path / "report")
    assert Page(Path(made["page"]).read_text()).open == []


def test_figures_of_data_whose_names_differ_in_signs_only_are_all_kept(tmp_path):
    records = [record(simulated=False, data=name, headline=name) for name in ("+", "-")]
    write_report([write_sweep(tmp_path / "sweep", records)], tmp_path / "report")
    figures = [path.stem.split("-wasserstein")[0] for path in (tmp_path / "report" / "figures").glob("*-edges.png")]
    assert sorted(figures) == ["data", "data-2"]


def test_command_prints_where_the_page_is_and_json(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [record(), record(world=1)], edges=False)
    arguments = ["report", str(sweep), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "out" / "index.html") in result.output
    assert CliRunner().invoke(app, arguments).exit_code == 2  # not without --overwrite
    result = CliRunner().invoke(app, [*arguments, "--overwrite", "--json"])
    summary = json.loads(result.output)
    assert summary["group_results"][0]["methods"]["catran"]["captured"]["mean"] == 0.5
    assert summary["group_results"][0]["replicate"] == "world"


def test_a_folder_that_is_no_report_is_never_replaced(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [record()])
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


def test_a_sweep_at_work_can_be_reported(tmp_path, monkeypatch):
    """One run ends and a failed one succeeds between two method_styles at the folder."""
    sweep = write_sweep(tmp_path / "sweep", [record()])
    (sweep / "world-0" / "failure.json").symlink_to("what was listed and is gone")
    read = RunResult.read

    def read_while_a_run_ends(folder):
        write_sweep(sweep / "later", [record(world=1)]) if not (sweep / "later").exists() else None
        return read(folder)

    monkeypatch.setattr(RunResult, "read", read_while_a_run_ends)
    assert write_report([sweep], tmp_path / "report")["failed"] == 0


def test_a_report_below_a_file_is_refused(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [record()])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output: found '.*/x', whose folder cannot be made"):
        write_report([sweep], tmp_path / "file" / "x")


# The browser

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
    # A window is 500 pixels wide at least, so the page is looked at in a frame of the width.
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
    assert found["first"] == "random"  # the click sorted by name, falling
    assert "CONSOLE" not in result.stderr, result.stderr
