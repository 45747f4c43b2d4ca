"""Sources of the files of CausalBench's data directory, with their published sizes and checksums."""

from __future__ import annotations

from dataclasses import dataclass

from catran_causalbench.causalbench.manifest import (
    CORUM,
    EXPRESSION_FILES,
    LIGAND_RECEPTOR,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
    SUMMARY,
)
from catran_causalbench.errors import InputError


@dataclass(frozen=True)
class RemoteFile:
    """A file of the data directory: its name there, its source, and its size and checksums where published.

    Raises
    ------
    InputError
        The name leads out of the directory.
    """

    name: str
    url: str
    num_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.name in {"", ".", ".."} or set(self.name) & set("/\\\0"):
            raise InputError.of("name", repr(self.name), "the bare name of a file")


# The sources of causalbench 1.1.2 (causalscbench.data_access.datasets), except that Figshare's files come from its
# address for programs, as the other one refuses programs. Sizes and MD5 of Figshare's files are those of its API for
# article 20029387, which two public registries confirm; the commit fixes GitHub's file. Nothing is published about the
# others; CORUM's file changes with every release.
_FIGSHARE = "https://ndownloader.figshare.com/files"
_LIGANDS = "LewisLabUCSD/Ligand-Receptor-Pairs/ba44c3c4b4a3e501667309dd9ce7208501aeb961"
_STRING = "https://stringdb-static.org/download"
SOURCES = (
    RemoteFile(EXPRESSION_FILES[0], f"{_FIGSHARE}/35773219", 10_661_879_995, "4f1122ce1c7f13299a68df6459a266d3"),
    RemoteFile(EXPRESSION_FILES[1], f"{_FIGSHARE}/35775606", 8_700_873_216, "6a2a9d0d2bf4ec147f4d1104043b268c"),
    RemoteFile(SUMMARY, "https://ars.els-cdn.com/content/image/1-s2.0-S0092867422005979-mmc2.xlsx"),
    RemoteFile(CORUM, "https://mips.helmholtz-muenchen.de/corum/download/releases/current/humanComplexes.txt.zip"),
    RemoteFile(
        LIGAND_RECEPTOR,
        f"https://raw.githubusercontent.com/{_LIGANDS}/Human/Human-2020-Shao-LR-pairs.txt",
        360_271,
        sha256="50ec69cd4c1035dffeefe7c4be534d1e9e0e1d1b40bc92ac595883c6e01aa29d",
    ),
    RemoteFile(STRING_NETWORK, f"{_STRING}/protein.links.detailed.v11.5/9606.protein.links.detailed.v11.5.txt.gz"),
    RemoteFile(
        STRING_PHYSICAL,
        f"{_STRING}/protein.physical.links.detailed.v11.5/9606.protein.physical.links.detailed.v11.5.txt.gz",
    ),
    RemoteFile(STRING_PROTEINS, f"{_STRING}/protein.info.v11.5/9606.protein.info.v11.5.txt.gz"),
)
