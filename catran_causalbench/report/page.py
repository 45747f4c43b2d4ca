"""The report's directory: a page that opens offline, its figures as files, and tables."""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from catran_causalbench.errors import InputError
from catran_causalbench.report import tables
from catran_causalbench.report.aggregation import ResultGroup, group_results, is_catran, read_results, runs_table
from catran_causalbench.report.conclusions import conclusion
from catran_causalbench.report.figure_style import Styles, method_styles, style
from catran_causalbench.report.figures import report_figures
from catran_causalbench.report.metrics import METRICS
from catran_causalbench.sweep.records import FAILURE, files_below
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable

PAGE = "index.html"
MADE_BY = "catran-causalbench report"
_FILES = (PAGE, "results.csv", "table.md", "figures")
_PACKAGES = ("catran-causalbench", "causalbench", "torch", "numpy", "scipy", "scikit-learn", "pandas")
_LARGEST_SVG = 300_000  # bytes: a drawing of thousands of lines is smaller as PNG


def write_report(sweeps: Sequence[Path], output: Path, overwrite: bool = False) -> dict[str, Any]:
    """Write the report of one or several sweeps, complete or not at all.

    The directory ``output`` gets index.html, results.csv (one row per run), table.md, and figures/ with every figure as
    PNG and PDF; ``overwrite`` lets it replace an earlier report.

    Returns
    -------
    dict
        ``page`` (path), ``failed`` (number of failed runs), ``conclusions`` (one sentence per group), and ``groups``:
        each with its name, its settings, and its methods with their estimates of every metric.

    Raises
    ------
    InputError
        There is no finished run, the sweeps are not comparable, or the output directory is taken.
    """
    output = output.absolute()
    _check_output(output, overwrite)
    found, protocols = read_results(sweeps)
    groups = group_results(found, protocols)
    styles = method_styles(result.method for _, result in found)
    failed = [failure for sweep in sweeps for failure in _read_failures(sweep)]
    with atomic_directory(output) as made:
        (made / "figures").mkdir()
        prefixes = _prefixes(groups)
        sections = [_section(*pair, styles, made / "figures") for pair in zip(groups, prefixes, strict=True)]
        shown = {metric.name for section in sections for metric in section["tables"][0].columns}
        page = _render(
            sections=sections,
            failed=failed,
            protocols={sweep.name: protocol for sweep, protocol in protocols.items() if protocol},
            machines=tables.machines(groups),
            versions={"Python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}},
            command=shlex.join(["catran-causalbench", "report", *map(str, sweeps), "--output", str(output)]),
            definitions=[metric for metric in METRICS.values() if metric.name in shown],
        )
        (made / PAGE).write_text(page, encoding="utf-8")
        runs_table(result for _, result in found).to_csv(made / "results.csv", index=False)
        text = "\n\n".join(f"### {group.title}\n\n{tables.markdown(group)}" for group in groups)
        (made / "table.md").write_text(text + "\n", encoding="utf-8")
    return {
        "page": str(output / PAGE),
        "failed": len(failed),
        "conclusions": [section["conclusion"] for section in sections],
        "groups": [_summary(group) for group in groups],
    }


def _check_output(output: Path, overwrite: bool) -> None:
    page = output / PAGE
    made_here = page.is_file() and MADE_BY in page.read_text(encoding="utf-8", errors="replace")[:2000]
    check_replaceable(output, "output", _FILES if made_here else (), overwrite)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"{str(output)!r}, whose parent cannot be made ({error.strerror})"
        raise InputError.of("output", found, "a writable place") from None


def _read_failures(sweep: Path) -> list[dict[str, str]]:
    """Return the path and the error of every failed run."""
    failures = []
    for path in files_below(sweep, FAILURE):
        try:
            error = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # a sweep has repeated the run meanwhile
            continue
        with suppress(ValueError, KeyError, TypeError):  # a damaged file is shown as it is
            content = json.loads(error)
            error = f"{content['type']}: {content['message']}"
        failures.append({"run": str(path.parent.relative_to(sweep)), "error": error})
    return failures


def _prefixes(groups: Sequence[ResultGroup]) -> list[str]:
    """Return a name for the files of each group; a number tells groups apart whose names differ in symbols only."""
    found: list[str] = []
    for group in groups:
        words = f"{'simulated ' * group.simulated}{group.name}".lower()
        name = re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "data"
        while name in found:
            name += f"-{len(found) + 1}"
        found.append(name)
    return found


def _section(group: ResultGroup, prefix: str, styles: Styles, directory: Path) -> dict[str, Any]:
    """Draw and save a group's figures, and collect what the page says about it."""
    figures = []
    with style():
        for drawn in report_figures(group, styles):
            name = f"{prefix}-{drawn.name}"
            drawn.figure.savefig(directory / f"{name}.png", dpi=200)
            drawn.figure.savefig(directory / f"{name}.pdf", metadata={"CreationDate": None})
            figures.append({"id": name, "source": _data_uri(drawn.figure), **drawn._asdict()})
    return {
        "group": group,
        "conclusion": conclusion(group),
        "settings": tables.settings(group),
        "tables": [tables.estimate_table(group), tables.estimate_table(group, group.reference_metrics)],
        "figures": figures,
    }


def _data_uri(figure: Figure) -> str:
    kind, image = "svg+xml", io.BytesIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    if image.tell() > _LARGEST_SVG:
        kind, image = "png", io.BytesIO()
        figure.savefig(image, format="png", dpi=200)
    return f"data:image/{kind};base64,{base64.b64encode(image.getvalue()).decode()}"


def _render(**context: Any) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined}
    template = jinja2.Environment(loader=loader, autoescape=True, **options).get_template("page.html.j2")
    return template.render(context, made_by=MADE_BY, today=date.today().isoformat(), is_catran=is_catran)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _summary(group: ResultGroup) -> dict[str, Any]:
    return {
        **{name: getattr(group, name) for name in ("name", "simulated", "replicate", "fraction")},
        "settings": tables.settings(group),
        "methods": [
            {
                "name": method,
                "challenge_score_of_medians": group.score_of_medians[method],
                "metrics": [{"name": name, **asdict(value)} for name, value in row.items()],
            }
            for method, row in group.summary.items()
        ],
    }
