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
    figure = draw_network(shuffled)
    drawn = set(arrows(figure))
    assert len(drawn) <= MOST_EDGES
    assert drawn == set(zip(edges["source"].head(len(drawn)), edges["target"].head(len(drawn)), strict=True))
    text = " ".join(artist.get_text() for artist in figure.texts)
    assert (f"the {len(drawn)} strongest of {count:,} edges" in text) == (len(drawn) < count)


def test_hubs_have_large_labels_and_labels_do_not_overlap():
    figure = draw_network(some_edges(300, 150))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    graph = nx.DiGraph(list(arrows(figure)))
    hubs = {gene for gene, degree in graph.out_degree() if degree >= 3}
    shown = {text.get_text(): text for text in labels(figure)}
    assert hubs <= set(shown)
    assert len(shown) > 0.7 * len(graph)
    boxes = [shown[gene].get_window_extent(renderer).padded(-0.6) for gene in shown]
    overlaps = sum(boxes[i].overlaps(boxes[j]) for i in range(len(boxes)) for j in range(i))
    assert overlaps <= 1
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes)
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
    assert (axes.get_ylabel().split(",")[0], axes.get_xlabel().split(",")[0]) == ("sources", "targets")


def test_few_strong_edges_do_not_make_all_others_pale():
    adjacency = modular()
    adjacency.iloc[3, 7] = 1000.0
    assert draw_attention(adjacency).axes[0].images[0].get_clim()[1] < 10


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


def test_many_steps_are_drawn_with_a_trend():
    values = np.random.default_rng(0).normal(size=400) + np.linspace(9, 0, 400)
    raw, trend = draw_training(pd.DataFrame({"step": range(400), "loss/held_out_effect": values})).axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), values)
    assert np.abs(np.diff(trend.get_ydata())).max() < 0.3 * np.abs(np.diff(values)).max()


@pytest.mark.parametrize("losses", [pd.DataFrame({"step": []}), pd.DataFrame({"step": [1], "loss/total": [np.nan]})])
def test_missing_losses_are_refused(losses):
    with pytest.raises(InputError, match="losses: found no values"):
        draw_training(losses)
