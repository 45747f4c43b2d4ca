"""What a sweep is to run, checked before any work starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from catran_causalbench.causalbench.dataset_spec import (
    DATASET_NAMES,
    INTERVENTIONAL,
    OBSERVATIONAL,
    PARTIAL,
    REGIMES,
    DatasetSpec,
)
from catran_causalbench.causalbench.fingerprint import references_digest
from catran_causalbench.causalbench.ground_truth import has_truth
from catran_causalbench.errors import InputError
from catran_causalbench.methods import ORACLE, check_method, is_settings_file, label, settings_digest
from catran_causalbench.utils.fingerprint import code_version

RIVAL_TRAINING = "CATRAN_RIVAL_TRAINING"  # see catran_causalbench.baselines.dcdi, which is slow to import
FRACTIONS = (0.25, 0.5, 0.75, 1.0)  # the challenge's


def _rival_training() -> float:
    given = os.environ.get(RIVAL_TRAINING, "1")
    try:
        return float(given)
    except ValueError:
        raise InputError.of(RIVAL_TRAINING, repr(given), "a share above 0 and at most 1") from None


@dataclass(frozen=True)
class Run:
    """One method on one training set.

    Attributes
    ----------
    method, data
        From :func:`~catran_causalbench.methods.check_method`; absolute path of the data directory.
    regime, fraction, seed
        As in :class:`~catran_causalbench.sweep.records.RunResult`.
    """

    method: str
    data: Path
    regime: str
    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        share = "-" + str(self.fraction).removesuffix(".0") if self.regime == PARTIAL else ""
        return f"{label(self.method)}-{self.regime}{share}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Its folder, from that of the sweep."""
        return Path(self.data.name, self.name)


@dataclass(frozen=True)
class EvaluationProtocol:
    """What is the same for all runs of a sweep, so that they compare.

    Attributes
    ----------
    edges
        Edges that each method returns.
    max_path_length, omission_estimation_size
        The harness's settings of the false omission rate (see
        :func:`~catran_causalbench.evaluation.causalbench_metrics.evaluate_network`).
    dataset_name, do_filter
        Which data set of each directory is meant.
    dcdi_training_share
        Share of their training that DCDI and its kin get (see :mod:`~catran_causalbench.baselines.dcdi`); by
        default what the environment says where the sweep is started.
    """

    edges: int = 1000
    max_path_length: int = 1
    omission_estimation_size: int = 500
    dataset_name: str = DATASET_NAMES[0]
    do_filter: bool = False
    dcdi_training_share: float = field(default_factory=_rival_training)

    def __post_init__(self) -> None:
        _check_whole("edges", self.edges, 1)
        _check_whole("max_path_length", self.max_path_length, -1)
        _check_whole("omission_estimation_size", self.omission_estimation_size, 0)
        _check_share("dcdi_training_share", self.dcdi_training_share)
        _ = self.selection  # which checks itself

    @property
    def selection(self) -> DatasetSpec:
        """The data set of each directory."""
        return DatasetSpec(self.dataset_name, self.do_filter)


@dataclass(frozen=True)
class SweepPlan:
    """All combinations of methods, data directories, regimes, fractions and seeds.

    Attributes
    ----------
    methods
        See :mod:`~catran_causalbench.methods`.
    data
        Data directories of distinct names.
    regimes
        ``observational`` and ``interventional`` are one run each, ``partial_interventional`` one for each fraction.
    fractions
        Shares of the perturbations, above 0 and at most 1.
    seeds
        Each is the seed of the model and of the partial draw.
    rules
        What all runs share.

    Raises
    ------
    InputError
        Naming the first thing that cannot be run.
    """

    methods: Sequence[str]
    data: Sequence[Path]
    regimes: Sequence[str] = (PARTIAL,)
    fractions: Sequence[float] = FRACTIONS
    seeds: Sequence[int] = (0,)
    rules: EvaluationProtocol = field(default_factory=EvaluationProtocol)

    def __post_init__(self) -> None:
        for name in ("methods", "data", "regimes", "fractions", "seeds"):
            values = getattr(self, name)
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise InputError.of(name, repr(values), "a list with at least one entry")
            if name in ("methods", "regimes") and not all(isinstance(value, str) for value in values):
                raise InputError.of(name, repr(values), "a list of names")
        for regime in self.regimes:
            if regime not in REGIMES:
                raise InputError.of("regimes", repr(regime), f"one of {', '.join(REGIMES)}")
        for fraction in self.fractions:
            _check_share("fractions", fraction)
        for seed in self.seeds:
            _check_whole("seeds", seed, 0)
        self._keep_distinct("methods", [check_method(method) for method in self.methods], label)
        folders: dict[Path, Path] = {}
        for folder in map(_located, self.data):
            folders.setdefault(folder.resolve(), folder)  # a link to one is the same directory
        self._keep_distinct("data", list(folders.values()), lambda path: path.name)
        for folder in self.data:
            self._check_data(folder)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SweepPlan:
        """Build from flat keys: those of the plan and those of its rules.

        Raises
        ------
        InputError
            For unknown keys, missing ones and values that cannot be used.
        """
        ours, rules = ({entry.name for entry in fields(kind)} for kind in (cls, EvaluationProtocol))
        ours.remove("rules")
        for key in values:
            if key not in ours | rules:
                raise InputError.of("plan", f"unknown key {key!r}", f"keys among {', '.join(sorted(ours | rules))}")
        for key in ("methods", "data"):
            if not values.get(key):
                raise InputError.of("plan", f"no {key}", "at least one method and one data directory")
        parts = {key: value for key, value in values.items() if key in ours}
        return cls(**parts, rules=EvaluationProtocol(**{key: value for key, value in values.items() if key in rules}))

    @classmethod
    def from_yaml(cls, path: Path, changes: Mapping[str, Any]) -> SweepPlan:
        """Read a YAML file; paths in it are relative to its folder. Changes replace keys of the file.

        Raises
        ------
        InputError
            As :meth:`from_mapping`, and where the file cannot be read.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError.of("plan", f"no readable YAML in {path} ({error})", "keys and values") from None
        if not isinstance(values, dict):
            raise InputError.of("plan", f"{type(values).__name__} in {path}", "keys and values")
        if isinstance(values.get("data"), list):
            values["data"] = [path.parent / str(folder) for folder in values["data"]]
        if isinstance(values.get("methods"), list):
            methods = [str(name) for name in values["methods"]]
            values["methods"] = [str(path.parent / name) if is_settings_file(name) else name for name in methods]
        return cls.from_mapping({**values, **changes})

    def runs(self) -> list[Run]:
        """List the distinct runs, those on the same data one after the other."""
        settings = [
            (regime, float(fraction))
            for regime in self.regimes
            for fraction in ({OBSERVATIONAL: [0.0], INTERVENTIONAL: [1.0]}.get(regime, self.fractions))
        ]
        return list(
            dict.fromkeys(
                Run(method, folder, regime, fraction, seed)
                for folder in self.data
                for method in self.methods
                for regime, fraction in settings
                for seed in self.seeds
            )
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must not change between the starts of a sweep: rules, code, settings of CaTran, contents of files."""
        selection = self.rules.selection
        files = {f"cells of {folder.name}": selection.digest(folder) for folder in self.data}
        files |= {f"references and truth of {folder.name}": references_digest(folder) for folder in self.data}
        settings = {f"settings of {label(method)}": settings_digest(method) for method in self.methods}
        used = {key: value for key, value in settings.items() if value}
        return {**asdict(self.rules), "code": code_version(), **files, **used}

    def _keep_distinct(self, name: str, values: list[Any], named: Any) -> None:
        """Keep distinct values, and refuse different ones that would share a folder."""
        distinct = list(dict.fromkeys(values))
        names = [named(value) for value in distinct]
        for position, value in enumerate(distinct):
            if names[position] in names[:position]:
                raise InputError.of(name, f"{str(value)!r} beside another {names[position]!r}", "distinct names")
        object.__setattr__(self, name, tuple(distinct))

    def _check_data(self, folder: Path) -> None:
        self.rules.selection.check(folder)
        genes = self.rules.selection.num_genes(folder)
        if self.rules.edges >= genes * (genes - 1):
            found = f"{self.rules.edges} for the {genes} genes of {folder.name}"
            raise InputError.of("edges", found, f"fewer than all their {genes * (genes - 1)} pairs")
        if ORACLE in self.methods and not has_truth(folder):
            raise InputError.of("methods", f"{ORACLE!r} for {folder.name}", "a simulated world, whose truth is known")


def _located(folder: Path | str) -> Path:
    """Give a directory's path from anywhere, under the name by which the user called it."""
    path = Path(os.path.expanduser(folder))
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _check_whole(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise InputError.of(name, repr(value), f"a whole number, {low} or more")


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InputError.of(name, repr(value), "a share above 0 and at most 1")
