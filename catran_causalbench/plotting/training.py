"""Training losses, one panel for each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from catran_causalbench.errors import InputError
from catran_causalbench.plotting.style import (
    ACTIVATION,
    FAINT,
    INK,
    figure_of,
    height_of_title,
    name_axes,
    new_figure,
    save_figure,
    write_title,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PREFIX = "loss/"
_TITLES = {
    "held_out_effect": "loss on held-out effects",
    "masked": "reconstruction of masked genes",
    "unmasked": "reconstruction of unmasked genes",
    "interventional": "loss on knockdown effects",
    "total": "weighted sum",
}
# From so many points on, a running median shows the trend beneath the noise of single steps.
_MANY_POINTS = 100


def draw_training(
    losses: pd.DataFrame,
    *,
    title: str = "",
    ax: Axes | Sequence[Axes] | None = None,
    save: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw loss curves.

    Parameters
    ----------
    losses
        Columns ``step`` and ``loss/…``; one row per step (model ``evidence``) or epoch (``catran``).
    title
        Description of the data.
    ax
        As many axes as there are losses to draw into; by default those of a new figure.
    save
        File to write the figure to (.png, .pdf, .svg).

    Raises
    ------
    InputError
        There are no losses, or another number of axes.
    """
    logged = losses.dropna(axis=1, how="all")
    names = [str(name).removeprefix(_PREFIX) for name in logged if str(name).startswith(_PREFIX)]
    if not names or logged.empty:
        raise InputError.of("losses", "no values", "those of a model that was trained")
    terms = [name for name in _TITLES if name in names] + [name for name in names if name not in _TITLES]
    if ax is None:
        columns = min(len(terms), 2)
        rows = -(-len(terms) // columns)
        width = 3.7 * columns + 0.4
        top = height_of_title(title, width)
        figure = new_figure((width, 2.3 * rows + 0.3 + top))
        height = figure.get_figheight()
        figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.98 - top / height), w_pad=0.08, h_pad=0.08)
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        write_title(figure, title, f"Training losses, {len(logged):,} values logged")
        for axes in panels[len(terms) :]:
            axes.set_visible(False)
    else:
        panels = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(panels) != len(terms):
            raise InputError.of("ax", f"{len(panels)} axes", f"{len(terms)}, one for each loss: {', '.join(terms)}")
        figure = figure_of(panels[0])
    for term, axes in zip(terms, panels, strict=False):
        _draw_curve(axes, logged["step"], logged[_PREFIX + term])
        axes.set_title(_TITLES.get(term, term), loc="left", fontsize=9, color=INK)
        axes.set_xlabel("training step", fontsize=8, color=INK)
        axes.set_ylabel("loss", fontsize=8, color=INK)
    if ax is not None and title:
        name_axes(panels[0], title)
    save_figure(figure, save)
    return figure


def _draw_curve(axes: Axes, steps: pd.Series, values: pd.Series) -> None:
    if len(values) >= _MANY_POINTS:
        axes.plot(steps, values, color=FAINT, linewidth=0.6, alpha=0.7)
        values = values.rolling(max(5, len(values) // 20), center=True, min_periods=1).median()
    axes.plot(steps, values, color=ACTIVATION, linewidth=1.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.7)
    axes.tick_params(labelsize=7.5, colors=INK)
