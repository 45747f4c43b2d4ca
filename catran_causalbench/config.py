"""Settings of a run: one section for each step, read from YAML or built in Python.

A YAML file names only what it changes. Each model's settings live beside the model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from catran_causalbench.baselines.config import DcdiSettings
from catran_causalbench.errors import InputError
from catran_causalbench.models.catran.config import CatranSettings
from catran_causalbench.models.evidence.config import EvidenceSettings
from catran_causalbench.utils.validation import Validated, choice, from_mapping, number, shown

CONFIG_VARIABLE = "CATRAN_CONFIG"
RUN_DIRECTORY_VARIABLE = "CATRAN_RUN_DIRECTORY"
DEFAULT_PRESET = "evidence"
MOST_EDGES = 1000  # unless the settings say otherwise
RANKINGS = ("total", "direct")


@dataclass(frozen=True)
class DataSettings(Validated):
    """Preprocessing of the expression (paper §1.1, which found ``none`` to be best).

    See :func:`~catran_causalbench.data.preprocessing.preprocess`.
    """

    section: ClassVar[str] = "data"

    preprocessing: str = choice("none", "counts", "log_normalise", "clr", "magic", "svd")


@dataclass(frozen=True)
class OutputSettings(Validated):
    """Number of directed edges to return, their order, and where logs, checkpoints and the edge table are written.

    Where ``edges`` is not set, benchmarks get 1,000, and users who ask for no number a tenth of all pairs, at most
    1,000. They are ranked by ``total`` effect, or by ``direct`` effect: what is left once the other genes are known.
    The second ranking is that of the model ``evidence``, and is made where the setting asks for it. Nothing is written
    where ``run_directory`` is empty.
    """

    section: ClassVar[str] = "output"

    edges: int | None = number(None, 1)
    rank_by: str = choice(*RANKINGS)
    run_directory: str = ""

    @property
    def benchmark_edges(self) -> int:
        """Number of edges where all methods have to return equally many."""
        return MOST_EDGES if self.edges is None else self.edges


@dataclass(frozen=True)
class CatranConfig(Validated):
    """All settings of a run.

    Attributes
    ----------
    model
        Which model CaTran trains: ``evidence`` learns attention from statistics of the whole training set, ``catran``
        by the objective of the paper.
    data, output
        Settings of all methods.
    evidence, catran
        Settings of the two models. Only the section of the chosen model may be set.
    dcdi
        Settings of the baselines DCDI and DCDFG.

    Raises
    ------
    InputError
        A section is set that belongs to another model.
    """

    model: str = choice("evidence", "catran")
    data: DataSettings = field(default_factory=DataSettings)
    evidence: EvidenceSettings | None = None
    catran: CatranSettings | None = None
    dcdi: DcdiSettings | None = None
    output: OutputSettings = field(default_factory=OutputSettings)

    def __post_init__(self) -> None:
        """Check every field, and that the section of the other model is not set."""
        super().__post_init__()
        other = "catran" if self.model == "evidence" else "evidence"
        if getattr(self, other) is not None:
            found = f"the section {other} beside model: {self.model}"
            raise InputError.of("config", found, f"the section {self.model}, or model: {other}")

    @property
    def sections(self) -> list[str]:
        """Names of the sections that belong to one method and are set."""
        return [name for name in ("evidence", "catran", "dcdi") if getattr(self, name) is not None]

    @property
    def model_settings(self) -> EvidenceSettings | CatranSettings:
        """The section of the chosen model, or its defaults where it is not set."""
        return (self.evidence or EvidenceSettings()) if self.model == "evidence" else (self.catran or CatranSettings())

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], origin: str = "config") -> CatranConfig:
        """Build from nested mappings, as in a YAML file; raise InputError naming ``origin`` and the wrong key."""
        return from_mapping(cls, values, origin)

    def to_mapping(self) -> dict[str, Any]:
        """Return all settings that are in force as nested plain values, defaults included."""
        chosen: dict[str, Any] = {self.model: self.model_settings}
        return asdict(replace(self, **chosen), dict_factory=_plain)

    def to_yaml(self) -> str:
        """Return all settings that are in force as YAML, defaults included."""
        import yaml

        return yaml.safe_dump(self.to_mapping(), sort_keys=False)


ConfigSource = CatranConfig | Mapping[str, Any] | str | os.PathLike[str] | None


def load_config(source: ConfigSource = None) -> CatranConfig:
    """Read settings from a preset, a YAML file or a mapping.

    Parameters
    ----------
    source
        A preset in ``configs/`` (``evidence``, ``paper``, …), the path of a YAML file, or a mapping with the keys of
        such a file; settings are returned as they are. By default the environment variable ``CATRAN_CONFIG`` decides;
        the defaults, which are those of the preset ``evidence``, count where it is unset. The variable
        ``CATRAN_RUN_DIRECTORY``, where set, replaces ``output.run_directory``.

    Raises
    ------
    InputError
        The file is missing, is not a YAML mapping, or there is an unknown key or a wrong value.
    """
    if isinstance(source, CatranConfig):
        return source
    if isinstance(source, Mapping):
        config = CatranConfig.from_mapping(source)
    elif source is None or isinstance(source, str | os.PathLike):
        config = _read_config(source)
    else:
        found = f"{type(source).__name__} {shown(source)}"
        raise InputError.of("config", found, "a preset, the path of a YAML file, a mapping or settings")
    run_directory = os.environ.get(RUN_DIRECTORY_VARIABLE)
    return replace(config, output=replace(config.output, run_directory=run_directory)) if run_directory else config


def _read_config(source: str | os.PathLike[str] | None) -> CatranConfig:
    import yaml

    field, chosen = ("config", os.fspath(source)) if source else (CONFIG_VARIABLE, os.environ.get(CONFIG_VARIABLE))
    if not chosen:
        return CatranConfig()
    path = _preset_directory() / f"{chosen}.yaml" if chosen in presets() else Path(chosen)
    if not os.path.isfile(path):  # Path.is_file raises where the name is too long
        expected = f"one of {', '.join(presets())}, or the path of a YAML file"
        raise InputError.of(field, f"neither a preset nor a file {shown(chosen)}", expected)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML's conversions raise ValueError, KeyError, RecursionError …
        found = f"no readable YAML ({' '.join(str(error).split())})"
        raise InputError.of(str(path), found, "keys and values") from None
    return CatranConfig.from_mapping({} if values is None else values, str(path))


def presets() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.stem for path in _preset_directory().glob("*.yaml"))


def preset_descriptions() -> dict[str, str]:
    """Return the purpose of each preset: the comment on its first line."""
    texts = {name: (_preset_directory() / f"{name}.yaml").read_text(encoding="utf-8") for name in presets()}
    return {name: text.splitlines()[0].lstrip("# ") for name, text in texts.items()}


def _preset_directory() -> Path:
    """Return ``configs/``, which is inside an installed package and beside the package in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def _plain(settings: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out sections that are not set, and turn tuples into lists, since YAML has none."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings if value is not None}
