"""Plans: the runs that they list, and what they refuse before any work starts."""

import os
import shutil
from pathlib import Path

import pytest

from catran_causalbench.causalbench.dataset_spec import REGIMES
from catran_causalbench.errors import InputError
from catran_causalbench.sweep.plan import EvaluationProtocol, SweepPlan


def test_a_plan_lists_distinct_runs(make_plan):
    runs = make_plan(["random", "mean_difference", "random"], regimes=REGIMES, seeds=[0, 1, 1]).runs()
    assert len(runs) == len({run.directory for run in runs}) == 2 * 2 * (1 + 2 + 1)
    assert {(run.regime, run.fraction) for run in runs} == {
        ("observational", 0),
        ("partial_interventional", 0.5),
        ("partial_interventional", 1),
        ("interventional", 1),
    }
    assert runs[0].directory == Path("simulated/random-observational-seed0")
    assert make_plan().runs()[0].directory == Path("simulated/random-partial_interventional-0.5-seed0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ["rondam"]}, "method: found 'rondam'"),
        ({"methods": "random"}, "methods: found .*'random'; expected a list"),
        ({"methods": []}, "methods: found an empty list"),
        ({"methods": ["absent.yaml"]}, "config: found"),
        ({"methods": ["mine/fast-preview.yaml"]}, "named like a preset; expected another name"),
        ({"regimes": ["partial"]}, "regimes: found 'partial'"),
        ({"regimes": "observational"}, "regimes: found .*'observational'"),
        ({"fractions": [0.5, 1.5]}, "fractions: found 1.5"),
        ({"fractions": ["half"]}, "fractions: found .*'half'"),
        ({"seeds": [-1]}, "seeds: found -1"),
        ({"data": [Path("nowhere")]}, r"data: found no dataset_rpe1\.npz"),
        ({"protocol": EvaluationProtocol(edges=132)}, "edges: found 132 for the 12 genes"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(make_plan, changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(**changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("edges", 0),
        ("max_path_length", -2),
        ("dataset_name", "rpe1"),
        ("do_filter", 1),
        ("dcdi_training_share", 0),
        ("dcdi_training_share", "half"),
        ("stability", "yes"),
    ],
)
def test_a_protocol_that_cannot_be_used_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field}: found"):
        EvaluationProtocol(**{field: value})


def test_directories_of_one_name_are_refused(make_plan, directory, simulate, tmp_path):
    (tmp_path / "simulated").symlink_to(directory)
    assert len(make_plan(data=[directory, tmp_path / "simulated"]).data) == 1, "a link is the same directory"
    other = simulate(tmp_path / "other" / "simulated", seed=1)
    with pytest.raises(InputError, match="another 'simulated'"):
        make_plan(data=[directory, other])
    (tmp_path / "linked").symlink_to(other)
    runs = make_plan(["random"], data=[directory, tmp_path / "linked", other], fractions=[1]).runs()
    assert [run.directory.parent.name for run in runs] == ["simulated", "linked"], (
        "links keep the name that the user gave"
    )
    assert make_plan(["random"], data=[other / ".." / "simulated"]).data == [other]


def test_an_incomplete_directory_is_refused(make_plan, directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "partly")
    (copy / "human_lr_pair.txt").unlink()
    with pytest.raises(InputError, match=r"human_lr_pair\.txt"):
        make_plan(data=[copy])


def test_the_oracle_needs_a_ground_truth(make_plan, directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "measured")
    (copy / "true_effects.npz").unlink()
    with pytest.raises(InputError, match="methods: found 'oracle' for measured"):
        make_plan(["oracle"], data=[copy])


def test_a_plan_from_yaml(directory, tmp_path):
    (tmp_path / "mine.yaml").write_text("output: {edges: 7}\n")
    path = tmp_path / "plan.yaml"
    path.write_text(
        f"methods: [random, mine.yaml]\ndata: [{os.path.relpath(directory, tmp_path)}]\nseeds: [3]\nedges: 30\n"
    )
    read = SweepPlan.from_yaml(path, {"fractions": [0.5]})
    assert [run.directory.name for run in read.runs()] == [
        "random-partial_interventional-0.5-seed3",
        "catran-mine-partial_interventional-0.5-seed3",
    ]
    assert read.protocol == EvaluationProtocol(edges=30)
    assert read.identity["settings of catran-mine"]
    with pytest.raises(InputError, match="unknown key method; expected methods"):
        SweepPlan.from_yaml(path, {"method": "random"})


@pytest.mark.parametrize("content", ["[", "- random", "methods: [random]", "data: [.]"])
def test_a_file_that_is_no_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.yaml").write_text(content)
    with pytest.raises(InputError, match="plan: found"):
        SweepPlan.from_yaml(tmp_path / "plan.yaml", {})


def test_the_identity_changes_with_the_settings_of_catran(make_plan, tmp_path, monkeypatch):
    for name, steps in (("one", 1), ("same", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.yaml").write_text(f"evidence: {{steps: {steps}}}\noutput: {{edges: {steps}}}\n")
    one, same, two = (
        make_plan([str(tmp_path / name / "mine.yaml")]).identity["settings of catran-mine"]
        for name in ("one", "same", "two")
    )
    assert one == same != two
    identity = make_plan(["catran", "catran-evidence", "catran-paper", "random"]).identity
    assert "settings of random" not in identity
    assert identity["settings of catran"] == identity["settings of catran-evidence"]
    assert identity["settings of catran"] != identity["settings of catran-paper"]
    monkeypatch.setenv("CATRAN_RUN_DIRECTORY", "elsewhere")  # a sweep has directories of its own
    assert make_plan(["catran"]).identity["settings of catran"] == identity["settings of catran"]
