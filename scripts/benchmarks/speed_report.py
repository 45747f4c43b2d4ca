"""Results of speed.py as tables in Markdown and as a figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def tables(results: dict[str, Any]) -> str:
    """Return all results as Markdown."""
    device, ceiling = results["machine"], results["ceilings"]
    name = device["gpu"] or f"{device['cores']} cores of an {device['processor']}"
    parts = [
        f"# Speed on {name}",
        f"torch {device['torch']}, float32. Peak rates of the machine: {ceiling['flops'] / 1e9:.0f} Gflop/s, "
        f"{ceiling['bytes'] / 1e9:.1f} GB/s. Compiling took {results['warm_up_seconds']:.1f} s, not counted below.",
        "The paper's network, forward and backward:",
        table(
            (
                "genes × cells",
                "reference",
                "factored",
                "ratio",
                "memory, reference / factored",
                "× arithmetic floor",
                "× memory floor",
            ),
            (
                (
                    f"{row['genes']:,} × {row['cells']:,}",
                    *compared(row),
                    f"{row['times_arithmetic_floor']:.1f}",
                    f"{row['times_memory_floor']:.1f}",
                )
                for row in results["passes"]
            ),
        ),
        "A whole training step, 500 of the genes and 2,048 cells in a minibatch; memory beyond the data:",
        table(
            ("genes in all", "reference", "factored", "ratio", "memory, reference / factored"),
            ((f"{row['genes']:,}", *compared(row)) for row in results["steps"]),
        ),
    ]
    if "trainings" in results:
        lightning = results["lightning"]
        parts += [
            "Training end to end, 25 epochs; the reference's time is that of one step times the number of steps:",
            table(
                ("size", "reference", "factored", "ratio", "preset `evidence`"),
                (
                    (
                        f"{row['size']}: {row['genes']} genes × {row['cells']:,} cells",
                        seconds(row["reference_seconds_extrapolated"]),
                        seconds(row["seconds"]),
                        f"{row['ratio']:.0f}",
                        seconds(row["evidence_seconds"]),
                    )
                    for row in results["trainings"]
                ),
            ),
            f"Lightning takes {lightning['lightning_over_bare']:.2f} times as long as a bare loop; with logs and "
            f"checkpoints, {lightning['logged_over_lightning']:.2f} times as long as without.",
        ]
    repeated = results["repeatable"]
    same = "the same" if repeated["same_bits"] else "NOT the same"
    parts.append(
        f"Trained twice with one seed, weights are {same} to the last bit, "
        f"and {repeated['edges_in_common']:.1%} of 1,000 edges are the same."
    )
    return "\n\n".join(parts) + "\n"


def compared(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return the times of both implementations, their ratio and their memory; the reference may have been skipped."""
    factored = seconds(row["factored_seconds"])
    if "reference_seconds" not in row:
        return "skipped", factored, "", f"– / {row['factored_gigabytes']:.3f} GB"
    memory = f"{row['reference_gigabytes']:.2f} / {row['factored_gigabytes']:.3f} GB"
    return seconds(row["reference_seconds"]), factored, f"{row['ratio']:.0f}", memory


def seconds(value: float) -> str:
    """Format a time with three digits in a suitable unit."""
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.2f} s" if value < 100 else f"{value:,.0f} s"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw how time grows with genes and cells, for both implementations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (passes, steps) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    batch_sizes = sorted({row["cells"] for row in results["passes"]})
    for colour, cells in zip(("#56B4E9", "#0072B2", "#004466"), batch_sizes, strict=False):
        lines(passes, [row for row in results["passes"] if row["cells"] == cells], colour, f"{cells:,} cells")
    passes.set(xlabel="genes in the minibatch", ylabel="seconds", title="Forward + backward")
    lines(steps, results["steps"], "#0072B2", "2,048 cells")
    steps.set(xlabel="genes in all, 500 in the minibatch", title="Whole training step")
    for axis, rows in ((passes, results["passes"]), (steps, results["steps"])):
        genes = sorted({row["genes"] for row in rows})
        axis.set(xscale="log", yscale="log")
        axis.set_xticks(genes, [f"{n:,}" for n in genes])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize(10)
    device = results["machine"]
    figure.suptitle(f"Reference and factored CaTran on {device['gpu'] or device['processor']}", fontsize=11)
    figure.tight_layout(rect=(0, 0, 0.84, 1))
    figure.legend(*passes.get_legend_handles_labels(), fontsize=8, frameon=False, loc="center right")
    figure.savefig(path, dpi=160)


def lines(axis: Any, rows: list[dict[str, Any]], colour: str, name: str) -> None:
    """Draw the times of both implementations."""
    for version, style in (("factored", "o-"), ("reference", "s--")):
        points = [(row["genes"], row[f"{version}_seconds"]) for row in rows if f"{version}_seconds" in row]
        if points:
            axis.plot(*zip(*points, strict=True), style, color=colour, label=f"{version}, {name}")
