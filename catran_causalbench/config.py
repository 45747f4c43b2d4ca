"""Settings of a run: dataclasses that refuse nonsense, read from YAML or built in Python.

A YAML file names only what it changes. The numbers of the paper are the defaults of the sections that follow it.
"""

from __future__ import annotations

import difflib
import os
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from catran_causalbench.errors import InputError

CONFIG_VARIABLE = "CATRAN_CONFIG"
RUN_DIRECTORY_VARIABLE = "CATRAN_RUN_DIRECTORY"
DEFAULT_PRESET = "evidence"


def _number(default: float, low: float, high: float = float("inf"), *, above_low: bool = False) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "above_low": above_low})


def _choice(*options: str) -> Any:
    return field(default=options[0], metadata={"options": options})


class _Section:
    """Checks every field of a dataclass against its type and its metadata."""

    def __post_init__(self) -> None:
        section = type(self).__name__.removesuffix("Settings").lower()
        for entry in fields(self):  # type: ignore[arg-type]
            _check_value(f"{section}.{entry.name}", getattr(self, entry.name), type(entry.default), entry.metadata)


@dataclass(frozen=True)
class DataSettings(_Section):
    """What happens to the expression before training (paper §1.1).

    Attributes
    ----------
    preprocessing
        See :func:`~catran_causalbench.data.preprocessing.preprocess`; the paper found none to be best.
    """

    preprocessing: str = _choice("none", "counts", "log_normalise", "clr", "magic", "svd")


@dataclass(frozen=True)
class NetworkSettings(_Section):
    """The network (paper §1.3).

    Attributes
    ----------
    form
        ``factored``: the exact fast form; ``literal``: the same function written as in the paper, for checking.
    embedding_size
        Length of a gene's embedding.
    token
        ``joined``: expression is one more channel beside the embedding; ``added``: it is added to every channel.
    """

    form: str = _choice("factored", "literal")
    embedding_size: int = _number(40, 1, 4096)
    token: str = _choice("joined", "added")


@dataclass(frozen=True)
class TrainingSettings(_Section):
    """Optimisation by Lion (paper §1.2).

    Attributes
    ----------
    epochs
        Passes over the cells.
    cells_per_minibatch, genes_per_minibatch
        Size of a minibatch; all cells or genes where there are fewer.
    learning_rate, weight_decay
        Of Lion, decay coupled to the learning rate as in its paper.
    """

    epochs: int = _number(25, 1)
    cells_per_minibatch: int = _number(2048, 2)
    genes_per_minibatch: int = _number(500, 2, 2**14)
    learning_rate: float = _number(0.001, 0, 1, above_low=True)
    weight_decay: float = _number(0.05, 0, 100)


@dataclass(frozen=True)
class CorruptionSettings(_Section):
    """What the network does not get to see (paper §1.2).

    Attributes
    ----------
    masked_fraction
        Share of the genes hidden in every cell, rounded down to a whole number of genes.
    method
        ``shuffle_within_cell``: hidden values change places among the hidden genes of their cell;
        ``shuffle_within_minibatch``: among the hidden entries of all cells; ``zero``: they become 0.
    """

    masked_fraction: float = _number(0.8, 0, 1)
    method: str = _choice("shuffle_within_cell", "shuffle_within_minibatch", "zero")


@dataclass(frozen=True)
class LossSettings(_Section):
    """Weights of the loss terms (paper §1.2, §1.4).

    Attributes
    ----------
    masked_weight, unmasked_weight
        Of the Huber losses of hidden and of visible entries.
    interventional_weight
        λ, of the attention's distance from the gene importances. The paper gives none.
    importance_gradient
        Whether the importances carry gradient ("differentiable gene importance test") or only the attention does.
    """

    masked_weight: float = _number(0.7, 0)
    unmasked_weight: float = _number(0.3, 0)
    interventional_weight: float = _number(1.0, 0)
    importance_gradient: bool = field(default=True)


@dataclass(frozen=True)
class AttentionSettings(_Section):
    """Where attention comes from.

    Attributes
    ----------
    learned_from
        ``evidence``: sums over the whole training set, gated (see docs/method.md); ``minibatches``: the objective of
        the paper, which the sections network, training, corruption and loss describe.
    """

    learned_from: str = _choice("evidence", "minibatches")


@dataclass(frozen=True)
class EvidenceSettings(_Section):
    """Attention learned from evidence.

    Attributes
    ----------
    folds
        Parts of the training cells; each is held out once for the others' evidence to predict.
    gates, gates_kept
        Gate networks trained from different starts, and how many of them, those that predict best, are averaged.
    width
        Hidden units of a gate network.
    prior_pairs
        Strength of the prior that all pairs have the same gates, as the number of pairs that would outweigh it, and of
        the blur on what the gates see while they train: √(prior_pairs / number of pairs) times its spread.
    steps, pairs_per_minibatch, learning_rate, weight_decay
        Of their training by AdamW.
    """

    folds: int = _number(3, 2, 100)
    gates: int = _number(3, 1, 100)
    gates_kept: int = _number(2, 1, 100)
    width: int = _number(24, 1, 4096)
    prior_pairs: float = _number(1600.0, 0)
    steps: int = _number(300, 1)
    pairs_per_minibatch: int = _number(8192, 1)
    learning_rate: float = _number(0.015, 0, 1, above_low=True)
    weight_decay: float = _number(0.001, 0, 100)


@dataclass(frozen=True)
class OutputSettings(_Section):
    """What comes out (paper §1.5).

    Attributes
    ----------
    edges
        Number of directed edges to return.
    run_directory
        Where logs, checkpoints and the edge table go; nothing is written when empty.
    """

    edges: int = _number(1000, 1)
    run_directory: str = field(default="")


@dataclass(frozen=True)
class CatranConfig:
    """All settings of a run, one section per step."""

    data: DataSettings = field(default_factory=DataSettings)
    attention: AttentionSettings = field(default_factory=AttentionSettings)
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    corruption: CorruptionSettings = field(default_factory=CorruptionSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    output: OutputSettings = field(default_factory=OutputSettings)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], origin: str = "config") -> CatranConfig:
        """Build from nested mappings, as a YAML file gives them.

        Raises
        ------
        InputError
            For unknown keys, wrong types and values out of range, naming ``origin`` and the key.
        """
        sections = {entry.name: entry.default_factory for entry in fields(cls)}
        _check_keys(values, sections, origin, "")
        built = {}
        for name, given in values.items():
            section: Any = sections[name]
            _check_keys(given, [entry.name for entry in fields(section)], origin, f"{name}.")
            try:
                built[name] = section(**given)
            except InputError as error:
                raise InputError(f"{origin}: {error}") from None
        return cls(**built)

    def to_yaml(self) -> str:
        """Return the whole configuration as YAML, defaults included."""
        import yaml

        return yaml.safe_dump(asdict(self), sort_keys=False)


def load_config(name_or_path: str | None = None) -> CatranConfig:
    """Read a preset by name or a YAML file by path.

    Parameters
    ----------
    name_or_path
        A preset in ``configs/`` (``evidence``, ``paper``, …) or the path of a YAML file. By default the environment
        variable ``CATRAN_CONFIG`` decides, and the preset ``evidence`` where it is unset. The variable
        ``CATRAN_RUN_DIRECTORY``, where set, replaces ``output.run_directory``.

    Raises
    ------
    InputError
        Where the file is missing, is no YAML mapping, or holds a wrong value.
    """
    import yaml

    chosen = name_or_path or os.environ.get(CONFIG_VARIABLE) or DEFAULT_PRESET
    path = _preset_folder() / f"{chosen}.yaml" if chosen in presets() else Path(chosen)
    if not os.path.isfile(path):  # unlike Path.is_file, not upset by names that are too long
        expected = f"one of {', '.join(presets())}, or the path of a YAML file"
        raise InputError.of("config", f"neither a preset nor a file {_shown(chosen)}", expected)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML lets errors of its conversions through: ValueError, KeyError, RecursionError …
        found = f"no readable YAML ({' '.join(str(error).split())})"
        raise InputError.of(str(path), found, "keys and values") from None
    config = CatranConfig.from_mapping({} if values is None else values, str(path))
    run_directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
    return replace(config, output=replace(config.output, run_directory=run_directory)) if run_directory else config


def presets() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in _preset_folder().glob("*.yaml"))


def preset_descriptions() -> dict[str, str]:
    """Read what each preset is for: the comment on its first line."""
    texts = {name: (_preset_folder() / f"{name}.yaml").read_text(encoding="utf-8") for name in presets()}
    return {name: text.splitlines()[0].lstrip("# ") for name, text in texts.items()}


def _preset_folder() -> Path:
    """``configs/`` is installed inside the package and stands beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def _check_keys(values: Any, known: Any, origin: str, prefix: str) -> None:
    if not isinstance(values, Mapping):
        found = f"{type(values).__name__} {_shown(values)} for {prefix.rstrip('.') or 'the file'}"
        raise InputError.of(origin, found, f"a mapping with keys {', '.join(known)}")
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1) if isinstance(key, str) else []
            expected = f"{prefix}{near[0]}, perhaps" if near else f"one of {', '.join(known)}"
            shown = _shown(key).strip("'")
            raise InputError.of(origin, f"unknown key {prefix}{shown}", expected)


def _check_value(name: str, value: Any, kind: type, limits: Mapping[str, Any]) -> None:
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        hint = " (YAML reads 1e-3 as text; write 1.0e-3)" if kind is float and isinstance(value, str) else ""
        raise InputError.of(name, f"{type(value).__name__} {_shown(value)}", expected + hint)
    if "options" in limits and value not in limits["options"]:
        raise InputError.of(name, _shown(value), f"one of {', '.join(limits['options'])}")
    if "low" in limits:
        low, high = limits["low"], limits["high"]
        inside = (low < value if limits["above_low"] else low <= value) and value <= min(high, sys.float_info.max)
        if not inside:
            lower = f"above {low}" if limits["above_low"] else f"at least {low}"
            upper = "" if high == float("inf") else f" and at most {high}"
            raise InputError.of(name, _shown(value), f"a number {lower}{upper}")


def _shown(value: Any) -> str:
    """Show the beginning of a value from a file: with YAML's aliases a few lines can stand for gigabytes."""
    shortener = reprlib.Repr()
    shortener.maxlevel, shortener.maxstring, shortener.maxother, shortener.maxlong = 2, 200, 200, 40
    return shortener.repr(value)
