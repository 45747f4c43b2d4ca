"""The report's folder: a page that needs nothing else, its figures as files, and its tables."""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catran_causalbench.errors import InputError
from catran_causalbench.report import tables
from catran_causalbench.report.aggregation import ResultGroup, group_results, runs_table, score_of_medians, summarise
from catran_causalbench.report.conclusions import headline
from catran_causalbench.report.figure_catalog import ReportFigure, report_figures
from catran_causalbench.report.figure_style import MethodStyle, method_styles, style
from catran_causalbench.report.metrics import METRICS
from catran_causalbench.sweep.plan import EvaluationProtocol
from catran_causalbench.sweep.records import FAILURE, files_below, read_sweep
from catran_causalbench.sweep.store import read_identity
from catran_causalbench.utils.atomic_io import atomic_directory, check_replaceable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "index.html"
_FILES = (PAGE, "results.csv", "table.md", "figures")
MADE_BY = "catran-causalbench report"

_PACKAGES = ("catran-causalbench", "causalbench", "torch", "numpy", "scipy", "scikit-learn", "pandas")
# A drawing of thousands of lines is smaller as an image.
_LARGEST_SVG = 300_000


def write_report(folders: Sequence[Path], output: Path, overwrite: bool = False) -> dict[str, Any]:
    """Write the report of one or several sweeps, whole or not at all.

    The folder gets index.html, results.csv (one row per run), table.md, and figures/ with every figure as PNG and PDF.

    Parameters
    ----------
    folders
        Folders of sweeps; failed runs may be among theirs.
    output
        Folder to make.
    overwrite
        Replace a report that this function made before.

    Returns
    -------
    dict
        ``page`` (path), ``failed`` (number of failed runs), ``headlines``, and ``group_results``: their names, settings and
        estimates by method and metric.

    Raises
    ------
    InputError
        No finished run is there, sweeps are not comparable, or the output folder is taken.
    """
    output = _check_output(output, overwrite)
    found = [run for folder in folders for run in read_sweep(folder.absolute())]
    identities = {sweep: read_identity(sweep) for sweep in dict.fromkeys(map(_sweep_of, (path for path, _ in found)))}
    _check_comparable(identities)
    rules = {sweep: _rules(identity) for sweep, identity in identities.items()}
    groups = group_results(found, {path: rules[_sweep_of(path)] for path, _ in found})
    known = method_styles(record.method for _, record in found)
    failed = [failure for folder in folders for failure in _read_failures(folder)]
    _make_parent(output)
    with atomic_directory(output) as made:
        (made / "figures").mkdir()
        prefixes = _prefixes(groups)
        sections = [_section(*pair, known, made / "figures") for pair in zip(groups, prefixes, strict=True)]
        command = shlex.join(["catran-causalbench", "report", *map(str, folders), "--output", str(output)])
        page = _render(
            sections=sections,
            failed=failed,
            rules=[f"{sweep.name}: {_in_words(shared)}" for sweep, shared in rules.items() if shared],
            machines=tables.machines(groups),
            versions=_versions(),
            command=command,
            definitions=[metric for metric in METRICS.values() if _is_shown(metric.name, sections)],
        )
        (made / PAGE).write_text(page, encoding="utf-8")
        runs_table(record for _, record in found).to_csv(made / "results.csv", index=False)
        text = "\n\n".join(f"### {group.title}\n\n{tables.markdown(group)}" for group in groups)
        (made / "table.md").write_text(text + "\n", encoding="utf-8")
    return {
        "page": str(output / PAGE),
        "failed": len(failed),
        "headlines": [section["headline"] for section in sections],
        "group_results": [_summary(group) for group in groups],
    }


def _check_output(output: Path, overwrite: bool) -> Path:
    output = output.absolute()
    page = output / PAGE
    made_here = page.is_file() and MADE_BY in page.read_text(encoding="utf-8", errors="replace")[:2000]
    check_replaceable(output, "output", _FILES if made_here else (), overwrite)
    return output


def _make_parent(output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"{str(output)!r}, whose folder cannot be made ({error.strerror})"
        raise InputError.of("output", found, "a writable place") from None


def _read_failures(folder: Path) -> list[dict[str, str]]:
    """Name every failed run by its folder, with what its file says."""
    failures = []
    for path in files_below(folder, FAILURE):
        try:
            error = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # a sweep has tried again meanwhile, with success
            continue
        with suppress(ValueError, KeyError, TypeError):  # a broken file is shown as it is
            content = json.loads(error)
            error = f"{content['type']}: {content['message']}"
        failures.append({"run": str(path.parent.relative_to(folder)), "error": error})
    return failures


def _sweep_of(run: Path) -> Path:
    """Name the sweep's folder of a run's: runs lie in ``SWEEP/DATA/RUN``."""
    return run.parent.parent


def _rules(identity: dict[str, Any]) -> dict[str, Any]:
    return {rule.name: identity[rule.name] for rule in fields(EvaluationProtocol) if rule.name in identity}


def _check_comparable(identities: dict[Path, dict[str, Any]]) -> None:
    """Refuse sweeps that differ in code, data or a method's settings: one name would stand for two things.

    Other rules are no fault: their runs become group_results of their own.
    """
    known: dict[str, tuple[Path, Any]] = {}
    for sweep, identity in identities.items():
        for key, value in identity.items():
            first, before = known.setdefault(key, (sweep, value))
            if value != before and key not in _rules(identity):
                found = f"{value!r} in {str(sweep)!r}, where {str(first)!r} has {before!r}"
                raise InputError.of(key, found, "the same in all sweeps of a report; report these apart")


def _in_words(rules: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in rules.items())


def _prefixes(groups: Sequence[ResultGroup]) -> list[str]:
    """Name each group as files can be named; where letters that they can't hold were the difference, by number."""
    found: list[str] = []
    for group in groups:
        words = f"{'simulated ' * group.simulated}{group.name}".lower()
        name = re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "data"
        while name in found:
            name += f"-{len(found) + 1}"
        found.append(name)
    return found


def _section(group: ResultGroup, prefix: str, known: dict[str, MethodStyle], folder: Path) -> dict[str, Any]:
    """Draw and save a group's figures, and gather what the page says of it."""
    shown = []
    with style():
        for exhibit in report_figures(group, known):
            name = f"{prefix}-{exhibit.name}"
            exhibit.figure.savefig(folder / f"{name}.png", dpi=200)
            exhibit.figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
            shown.append({"name": name, "exhibit": exhibit, "source": _data_uri(exhibit)})
    return {
        "group": group,
        "headline": headline(group),
        "settings": tables.settings(group),
        "edges_differ": group.runs["num_edges"].nunique() > 1,
        "tables": [tables.metric_table(group), tables.reference_table(group)],
        "incomplete": tables.incomplete(group),
        "figures": shown,
    }


def _data_uri(exhibit: ReportFigure) -> str:
    kind, content = "svg+xml", _saved(exhibit.figure, "svg", metadata={"Date": None})
    if len(content) > _LARGEST_SVG:
        kind, content = "png", _saved(exhibit.figure, "png", dpi=200)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _render(**context: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(made_by=MADE_BY, today=date.today().isoformat(), **context)


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _is_shown(metric: str, sections: Sequence[dict[str, Any]]) -> bool:
    return any(column.name == metric for section in sections for column in section["tables"][0].columns)


def _summary(group: ResultGroup) -> dict[str, Any]:
    medians = score_of_medians(group)
    return {
        "name": group.name,
        "simulated": group.simulated,
        "replicate": group.replicate,
        "fraction": group.fraction,
        "settings": tables.settings(group),
        "methods": {
            method: {metric: asdict(value) for metric, value in row.items()}
            | {"challenge_score_of_medians": medians[method]}
            for method, row in summarise(group).items()
        },
    }
