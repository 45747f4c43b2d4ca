"""What a sweep is to run, checked before any work starts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from catran_causalbench.baselines.config import DcdiSettings
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
from catran_causalbench.causalbench.known_truth import data_name, is_known_truth, read_known_truth
from catran_causalbench.config import DEFAULT_PRESET, CatranConfig, OutputSettings, load_config
from catran_causalbench.errors import InputError
from catran_causalbench.methods import CATRAN, baseline_names, find_method, is_settings_file, method_label
from catran_causalbench.utils.fingerprint import code_version, file_digest
from catran_causalbench.utils.validation import Validated, check_keys, choice, from_mapping, number

ORACLE = "oracle"  # ranks the true effects of simulated data: no method can do better
DEFAULT_EDGES = 1000
FRACTIONS = (0.25, 0.5, 0.75, 1.0)  # the challenge's
_SHARE, _SEED = number(low=0, high=1, above_low=True), number(low=0)


@dataclass(frozen=True)
class RunSpec:
    """One method of a :class:`SweepPlan` on one training set of ``data``, the absolute path of a data set."""

    method: str
    data: Path
    regime: str
    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's directory."""
        share = "-" + str(self.fraction).removesuffix(".0") if self.regime == PARTIAL else ""
        return f"{method_label(self.method)}-{self.regime}{share}-seed{self.seed}"

    @property
    def directory(self) -> Path:
        """The run's directory, relative to that of the sweep."""
        return Path(data_name(self.data), self.name)


@dataclass(frozen=True)
class EvaluationProtocol(Validated):
    """What all runs of a sweep share, so that they can be compared.

    Attributes
    ----------
    edges
        Number of edges that each method returns. By default 1,000, or as many as there are direct edges in a file with
        known truth.
    max_path_length, omission_estimation_size
        As in :func:`~catran_causalbench.evaluation.causalbench_metrics.evaluate_network`.
    dataset_name, do_filter
        As in :class:`~catran_causalbench.causalbench.dataset_spec.DatasetSpec`.
    dcdi_training_share
        Share of their full training that DCDI and its relatives get (see :mod:`~catran_causalbench.baselines.dcdi`).
    stability
        Whether to train twice more, on half of the cells each, and compare the edges.
    split_by_seed
        Whether the seed of a run also decides which cells are held out, instead of CausalBench's fixed split.
    """

    edges: int | None = number(None, 1)
    max_path_length: int = number(1, -1)
    omission_estimation_size: int = number(500, 0)
    dataset_name: str = choice(*DATASET_NAMES)
    do_filter: bool = False
    dcdi_training_share: float = number(1.0, 0, 1, above_low=True)
    stability: bool = False
    split_by_seed: bool = False

    @property
    def dataset_spec(self) -> DatasetSpec:
        """Which data set of each directory is used."""
        return DatasetSpec(self.dataset_name, self.do_filter)

    def num_edges(self, data: Path) -> int:
        """Return the number of edges that each method returns for a data set."""
        if self.edges is None and is_known_truth(data):
            return int(read_known_truth(data).network.sum())
        return self.edges or DEFAULT_EDGES


@dataclass(frozen=True)
class SweepPlan(Validated):
    """All combinations of methods, data sets, regimes, fractions and seeds.

    Attributes
    ----------
    methods
        Names of methods, paths of YAML files with settings of CaTran, or ``oracle``, which ranks the true effects.
    data
        Benchmark directories, or files with known truth (see :mod:`~catran_causalbench.causalbench.known_truth`), with
        distinct names.
    regimes, fractions
        ``observational`` and ``interventional`` are one run each, ``partial_interventional`` one run for each fraction
        of the perturbations, above 0 and at most 1.
    seeds
        Seeds of the model and of the partial draw.
    protocol
        What all runs share.

    Raises
    ------
    InputError
        Naming the first value that cannot be run.
    """

    methods: list[str]
    data: list[Path]
    regimes: list[str] = field(default_factory=lambda: [PARTIAL], metadata={"options": REGIMES})
    fractions: list[float] = field(default_factory=lambda: list(FRACTIONS), metadata=_SHARE.metadata)
    seeds: list[int] = field(default_factory=lambda: [0], metadata=_SEED.metadata)
    protocol: EvaluationProtocol = field(default_factory=EvaluationProtocol)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("methods", "data", "regimes", "fractions", "seeds"):
            if not getattr(self, name):
                raise InputError.of(name, "an empty list", "at least one entry")
        self._keep_distinct("methods", [_located_method(method) for method in self.methods], method_label)
        directories: dict[Path, Path] = {}
        for directory in map(_located, self.data):
            directories.setdefault(directory.resolve(), directory)  # a link to a directory is the same directory
        self._keep_distinct("data", list(directories.values()), data_name)
        for directory in self.data:
            self._check_data(directory)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SweepPlan:
        """Build a plan from one flat mapping with the keys of the plan and of its protocol.

        Raise InputError if a key is unknown or missing, or if a value cannot be used.
        """
        protocol = [entry.name for entry in fields(EvaluationProtocol)]
        check_keys(values, [*(entry.name for entry in fields(cls) if entry.name != "protocol"), *protocol], "plan")
        nested = {key: value for key, value in values.items() if key not in protocol}
        nested["protocol"] = {key: value for key, value in values.items() if key in protocol}
        return from_mapping(cls, nested, "plan")

    @classmethod
    def from_yaml(cls, path: Path, changes: Mapping[str, Any]) -> SweepPlan:
        """Read a YAML file, whose paths are relative to its directory; ``changes`` replace some of its keys.

        Raise InputError as :meth:`from_mapping`, or if the file cannot be read.
        """
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError.of("plan", f"no readable YAML in {path} ({error})", "keys and values") from None
        if not isinstance(values, dict):
            raise InputError.of("plan", f"{type(values).__name__} in {path}", "keys and values")
        if isinstance(values.get("data"), list):
            values["data"] = [path.parent / str(directory) for directory in values["data"]]
        if isinstance(values.get("methods"), list):
            methods = [str(name) for name in values["methods"]]
            values["methods"] = [str(path.parent / name) if is_settings_file(name) else name for name in methods]
        return cls.from_mapping({**values, **changes})

    def runs(self) -> list[RunSpec]:
        """List the distinct runs, those on the same data one after the other."""
        fixed = {OBSERVATIONAL: [0.0], INTERVENTIONAL: [1.0]}
        runs = (
            RunSpec(method, directory, regime, fraction, seed)
            for directory in self.data
            for method in self.methods
            for regime in self.regimes
            for fraction in fixed.get(regime, self.fractions)
            for seed in self.seeds
        )
        return list(dict.fromkeys(runs))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must stay the same when a sweep is resumed: protocol, code, contents of files, settings of CaTran."""
        identity = {**asdict(self.protocol), "code": code_version()}
        for directory in self.data:
            identity[f"cells of {data_name(directory)}"] = file_digest(self.protocol.dataset_spec.path(directory))
            identity[f"references and truth of {data_name(directory)}"] = references_digest(directory)
        for method in self.methods:
            if method not in (ORACLE, *baseline_names()):
                settings = find_method(method).settings(method_config(method, self.protocol)).to_yaml()
                identity[f"settings of {method_label(method)}"] = hashlib.sha256(settings.encode()).hexdigest()
        return identity

    def _keep_distinct(self, name: str, values: list[Any], named: Callable[[Any], str]) -> None:
        """Drop repeated values, and refuse different ones whose runs would share a directory."""
        kept: dict[str, Any] = {}
        for value in values:
            if kept.setdefault(named(value), value) != value:
                raise InputError.of(name, f"{str(value)!r} beside another {named(value)!r}", "distinct names")
        object.__setattr__(self, name, list(kept.values()))

    def _check_data(self, directory: Path) -> None:
        self.protocol.dataset_spec.check(directory)
        genes = self.protocol.dataset_spec.num_genes(directory)
        edges = self.protocol.num_edges(directory)
        if edges >= genes * (genes - 1):
            found = f"{edges} for the {genes} genes of {directory.name}"
            raise InputError.of("edges", found, f"fewer than all their {genes * (genes - 1)} pairs")
        if ORACLE in self.methods and not has_truth(directory):
            raise InputError.of("methods", f"{ORACLE!r} for {directory.name}", "simulated data with their ground truth")


def method_config(method: str, protocol: EvaluationProtocol) -> CatranConfig:
    """Return the settings for :func:`~catran_causalbench.inference.infer_network`, whatever the environment says."""
    if method == CATRAN:
        return replace(load_config(DEFAULT_PRESET), output=OutputSettings())
    if find_method(method).section == DcdiSettings.section:
        return CatranConfig(dcdi=DcdiSettings(protocol.dcdi_training_share))
    return CatranConfig()


def _located_method(method: str) -> str:
    """Return a method that exists, a settings file by its absolute path."""
    if method != ORACLE:
        find_method(method).settings(CatranConfig())
    return str(Path(method).absolute()) if is_settings_file(method) else method


def _located(directory: Path) -> Path:
    """Return a directory's absolute path, ending in the name that the user gave."""
    path = directory.expanduser()
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name
