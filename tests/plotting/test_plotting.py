"""Figures: their artists show what is drawn, and drawing has no side effects."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from catran_causalbench.errors import InputError
from catran_causalbench.plotting.attention import draw_attention
from catran_causalbench.plotting.network import MOST_EDGES, draw_network
from catran_causalbench.plotting.style import ACTIVATION, REPRESSION, UNKNOWN
from catran_causalbench.plotting.training import draw_training


def some_edges(count, genes=60, seed=0):
    """Return edges of hubs and of other genes, the strongest first."""
    rng = np.random.default_rng(seed)
    pairs = {}
    while len(pairs) < count:
        source, target = int(genes * rng.random() ** 3), int(rng.integers(genes))
        if source != target:
            pairs[f"G{source}", f"G{target}"] = None
    table = pd.DataFrame(list(pairs), columns=["source", "target"])
    return table.assign(weight=np.linspace(2, 1, count), regulation=rng.choice([-1, 0, 1], count))


def arrows(figure):
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    return {tuple(patch.get_gid().split("→")): patch for patch in found}


def labels(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def test_every_edge_is_an_arrow_in_the_colour_of_its_regulation():
    edges = some_edges(40)
    figure = draw_network(edges, title="what it is")
    drawn = arrows(figure)
    assert set(drawn) == set(zip(edges["source"], edges["target"], strict=True))
    for edge in edges.itertuples():
        colour = {1: ACTIVATION, -1: REPRESSION, 0: UNKNOWN}[edge.regulation]
        patch = drawn[edge.source, edge.target]
        assert matplotlib.colors.to_hex(patch.get_edgecolor()) == colour.lower()
        assert ("Bracket" in type(patch.get_arrowstyle()).__name__) == (edge.regulation < 0)
    widths = [drawn[pair].get_linewidth() for pair in zip(edges["source"], edges["target"], strict=True)]
    assert widths == sorted(widths, reverse=True)
    assert "what it is" in [text.get_text() for text in figure.texts]


def test_an_arrow_leads_from_source_to_target():
    edges = pd.DataFrame({"source": ["A"], "target": ["B"], "weight": [1.0]})
    figure = draw_network(edges)
    FigureCanvasAgg(figure).draw()
    places = {text.get_text(): text.get_position() for text in labels(figure)}
    start, end = arrows(figure)["A", "B"]._posA_posB
    assert np.linalg.norm(np.subtract(start, places["A"])) < np.linalg.norm(np.subtract(end, places["A"]))


@pytest.mark.parametrize(
    ("regulation", "colours"), [([1, -1, np.nan], (ACTIVATION, REPRESSION, UNKNOWN)), (None, (UNKNOWN,) * 3)]
)
def test_regulation_may_be_missing(regulation, colours):
    edges = pd.DataFrame({"source": list("AAB"), "target": list("BCA"), "weight": [3.0, 2.0, 1.0]})
    drawn = arrows(draw_network(edges if regulation is None else edges.assign(regulation=regulation)))
    found = [matplotlib.colors.to_hex(drawn[pair].get_edgecolor()) for pair in (("A", "B"), ("A", "C"), ("B", "A"))]
    assert found == [colour.lower() for colour in colours]


@pytest.mark.parametrize(("count", "genes"), [(100, 80), (400, 30), (1000, 300)])
def test_the_strongest_edges_are_drawn_and_counted_in_the_figure(count, genes):
    edges = some_edges(count, genes)
    shuffled = edges.sample(frac=1, random_state=1)
    figure = draw_network(shuffled, legible_only=True)
    drawn = set(arrows(figure))
    assert len(drawn) <= MOST_EDGES
    assert drawn == set(zip(edges["source"].head(len(drawn)), edges["target"].head(len(drawn)), strict=True))
    text = " ".join(artist.get_text() for artist in figure.texts)
    assert (f"the {len(drawn)} strongest of {count:,} edges" in text) == (len(drawn) < count)


def test_as_many_edges_are_drawn_as_are_asked_for():
    edges = some_edges(250, 60)
    figure = draw_network(edges)
    assert set(arrows(figure)) == set(zip(edges["source"], edges["target"], strict=True))
    assert "250 edges between" in " ".join(artist.get_text() for artist in figure.texts)


@pytest.mark.parametrize("name", ["G{}", "ENSG000001{:05d}"])
@pytest.mark.parametrize("size", [None, (3.5, 3.5)])  # a page of its own, and a column of a journal
@pytest.mark.parametrize("dpi", [100, 200])
def test_names_are_whole_and_cover_neither_genes_nor_names(name, size, dpi):
    edges = some_edges(300, 150, seed=1).head(110 if size is None else 30)
    for end in ("source", "target"):
        edges[end] = [name.format(int(gene[1:])) for gene in edges[end]]
    ax = None if size is None else Figure(figsize=size).add_axes((0, 0, 1, 1))
    figure = draw_network(edges, ax=ax)
    figure.set_dpi(dpi)  # as savefig does
    axes, renderer = figure.axes[0], FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [text.get_window_extent(renderer) for text in labels(figure)]
    assert len(boxes) > (0.75 if size is None else 0.5) * len(sorted_by_drawing(figure))
    assert not any(boxes[i].overlaps(boxes[j]) for i in range(len(boxes)) for j in range(i))
    discs = axes.collections[0]
    for place, area in zip(axes.transData.transform(discs.get_offsets()), discs.get_sizes(), strict=True):
        radius = np.sqrt(area) / 2 * dpi / 72
        nearest = [np.clip(place, *box.get_points()) for box in boxes]
        assert all(np.linalg.norm(place - point) >= radius for point in nearest)
    page = axes.get_window_extent().get_points()
    assert all((page[0] <= box.get_points()).all() and (box.get_points() <= page[1]).all() for box in boxes)


def test_hubs_are_large():
    figure = draw_network(some_edges(300, 150))
    graph = nx.DiGraph(list(arrows(figure)))
    discs = figure.axes[0].collections[0]
    sizes = dict(zip(sorted_by_drawing(figure), discs.get_sizes(), strict=True))
    largest = max(sizes, key=sizes.get)
    assert graph.out_degree(largest) == max(degree for _, degree in graph.out_degree())


def sorted_by_drawing(figure):
    """Return the genes in the order of the discs, which is alphabetical."""
    return sorted({gene for pair in arrows(figure) for gene in pair})


def test_genes_do_not_overlap():
    targets = [f"G{number // 2}" for number in range(100)]  # of two hubs each: the layout alone would pile them up
    figure = draw_network(pd.DataFrame({"source": ["H1", "H2"] * 50, "target": targets, "weight": 1.0}))
    discs = figure.axes[0].collections[0]
    places, radii = discs.get_offsets(), np.sqrt(discs.get_sizes()) / 2
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (distance > radii[:, None] + radii[None] + 4).all()  # points


def test_the_legend_explains_what_is_drawn():
    edges = pd.DataFrame({"source": list("AB"), "target": list("BA"), "weight": [2.0, 1.0], "regulation": [1, -1]})
    shown = [text.get_text() for text in draw_network(edges).legends[0].get_texts()]
    assert shown == ["activation", "repression", "thicker: larger weight", "larger: more targets"]
    shown = [text.get_text() for text in draw_network(edges.head(1)).legends[0].get_texts()]
    assert shown == ["activation", "thicker: larger weight", "larger: more targets", "hollow: no targets drawn"]


def test_a_network_without_edges_gives_an_empty_figure():
    figure = draw_network(some_edges(3).head(0), title="nothing")
    assert not arrows(figure)
    assert "0 edges" in " ".join(text.get_text() for text in figure.texts)


def test_a_notebook_shows_a_figure_without_pyplot():
    assert draw_network(some_edges(3))._repr_png_().startswith(b"\x89PNG")


def figure_digest():
    canvas = FigureCanvasAgg(draw_network(some_edges(80)))
    canvas.draw()
    return hashlib.sha256(bytes(canvas.buffer_rgba())).hexdigest()


def test_the_same_edges_give_the_same_figure_without_pyplot():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_plotting; "
        "print(test_plotting.figure_digest(), 'matplotlib.pyplot' in sys.modules)"
    )
    other_hashes = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=other_hashes)
    assert run.stdout.split() == [figure_digest(), "False"]


def modular(genes=40, seed=0):
    """Return weights of two regulators with ten targets each, and noise, the genes in random order."""
    rng = np.random.default_rng(seed)
    weights = rng.random((genes, genes)) * 0.05
    weights[0, 5:15] += 1
    weights[1, 15:25] += 1
    order = rng.permutation(genes)
    labels = np.array([f"G{gene}" for gene in range(genes)])[order]
    return pd.DataFrame(weights[np.ix_(order, order)], labels, labels)


def test_targets_of_one_source_stand_side_by_side():
    figure = draw_attention(modular())
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    for first in (5, 15):
        places = sorted(ticks.index(f"G{gene}") for gene in range(first, first + 10))
        assert places[-1] - places[0] == 9


def test_the_heat_map_shows_source_by_target():
    adjacency = modular()
    axes = draw_attention(adjacency).axes[0]
    shown = np.asarray(axes.images[0].get_array())
    rows, columns = ([text.get_text() for text in ticks] for ticks in (axes.get_yticklabels(), axes.get_xticklabels()))
    expected = adjacency.to_numpy().copy()
    np.fill_diagonal(expected, 0)
    expected = pd.DataFrame(expected, adjacency.index, adjacency.columns).loc[rows, columns]
    np.testing.assert_allclose(shown, expected)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("source", "target")
    assert rows == columns


@pytest.mark.parametrize(("shift", "lowest"), [(0, 0.0), (-0.1, 0.0), (-5, "smallest")])
def test_the_colours_span_all_weights_and_the_bar_shows_0(shift, lowest):
    adjacency = modular() + shift
    adjacency.iloc[2, 3] = -np.inf  # a pair of which a baseline knows nothing
    known = adjacency.to_numpy()[~np.eye(len(adjacency), dtype=bool) & np.isfinite(adjacency.to_numpy())]
    image, bar = (axes for axes in draw_attention(adjacency).axes)
    assert image.images[0].get_clim() == (known.min() if lowest == "smallest" else lowest, max(known.max(), 0))
    assert 0.0 in bar.get_yticks()


def test_a_strong_edge_does_not_make_all_others_pale():
    adjacency = modular()
    adjacency.iloc[3, 7] = 10.0
    assert draw_attention(adjacency).axes[0].images[0].norm(1.0) > 0.3


def test_names_of_any_length_are_whole():
    adjacency = modular()
    adjacency.index = adjacency.columns = [f"a gene with a rather long name {name}" for name in adjacency.index]
    figure = draw_attention(adjacency, title="What these data are, said at great length, " * 4)
    FigureCanvasAgg(figure).draw()
    tight = figure.get_tightbbox()
    assert min(tight.x0, tight.y0) >= 0
    assert tight.x1 <= figure.get_figwidth()
    assert tight.y1 <= figure.get_figheight()


def test_names_with_dollar_signs_are_drawn_literally():
    adjacency = modular(genes=30)
    adjacency.index = adjacency.columns = [f"$G_{gene}$^{{" for gene in range(30)]
    FigureCanvasAgg(draw_attention(adjacency)).draw()
    edges = some_edges(9).replace({f"G{gene}": f"$G_{gene}$^{{" for gene in range(60)})
    FigureCanvasAgg(draw_network(edges, title="$a_b$^{")).draw()


def test_many_genes_are_not_labelled():
    many = modular(genes=90)
    assert not draw_attention(many, None).axes[0].get_xticklabels()
    strongest = {text.get_text() for text in draw_attention(many, 22).axes[0].get_xticklabels()}
    assert {f"G{gene}" for gene in (0, 1, *range(5, 25))} == strongest


@pytest.mark.parametrize("weights", [np.zeros((5, 5)), np.ones((3, 3)), np.eye(2)])
def test_degenerate_weights_are_drawn(weights):
    FigureCanvasAgg(draw_attention(pd.DataFrame(weights))).draw()


def test_every_loss_has_a_curve():
    losses = pd.DataFrame({"step": [0, 1, 2], "loss/masked": [3.0, 2.0, 1.0], "loss/total": [5.0, 4.0, 4.5]})
    figure = draw_training(losses)
    curves = {axes.get_title(loc="left"): axes.lines[-1].get_ydata() for axes in figure.axes}
    np.testing.assert_array_equal(curves["reconstruction of masked genes"], [3, 2, 1])
    np.testing.assert_array_equal(curves["weighted sum"], [5, 4, 4.5])


@pytest.mark.parametrize("count", [1, 4])
def test_the_axes_of_losses_are_named_and_long_titles_are_whole(count):
    losses = pd.DataFrame({"step": [0, 1], **{f"loss/{number}": [2.0, 1.0] for number in range(count)}})
    figure = draw_training(losses, title="SIMULATED DATA – a description that goes on and on; " * 4)
    FigureCanvasAgg(figure).draw()
    assert all((axes.get_xlabel(), axes.get_ylabel()) == ("training step", "loss") for axes in figure.axes)
    tight = figure.get_tightbbox()
    assert 0 <= tight.x0 < tight.x1 <= figure.get_figwidth()
    assert 0 <= tight.y0 < tight.y1 <= figure.get_figheight()
    texts = [text.get_window_extent() for text in figure.texts]
    assert not texts[0].overlaps(texts[1])
    assert not any(text.overlaps(axes.get_tightbbox()) for text in texts for axes in figure.axes)


def test_pictures_go_into_axes_and_files(tmp_path):
    losses = pd.DataFrame({"step": [0, 1], "loss/masked": [2.0, 1.0], "loss/total": [2.0, 1.0]})
    figure = Figure(figsize=(9, 6))
    axes = figure.subplots(2, 2)
    assert draw_network(some_edges(20), ax=axes[0, 0], title="a network") is figure
    assert axes[0, 0].get_title(loc="left") == "a network"
    assert draw_attention(modular(), ax=axes[0, 1]) is figure
    assert draw_training(losses, ax=axes[1], save=tmp_path / "all.png") is figure
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert not figure.texts  # their titles belong to the user
    with pytest.raises(InputError, match=r"ax: found 4 axes; expected 2, one for each loss: masked, total"):
        draw_training(losses, ax=axes)
    draw_network(some_edges(20), save=tmp_path / "network.svg")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["all.png", "network.svg"]


def test_many_steps_are_drawn_with_a_trend():
    values = np.random.default_rng(0).normal(size=400) + np.linspace(9, 0, 400)
    raw, trend = draw_training(pd.DataFrame({"step": range(400), "loss/held_out_effect": values})).axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), values)
    assert np.abs(np.diff(trend.get_ydata())).max() < 0.3 * np.abs(np.diff(values)).max()


@pytest.mark.parametrize("losses", [pd.DataFrame({"step": []}), pd.DataFrame({"step": [1], "loss/total": [np.nan]})])
def test_missing_losses_are_refused(losses):
    with pytest.raises(InputError, match="losses: found no values"):
        draw_training(losses)
