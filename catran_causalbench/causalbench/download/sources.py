"""Where the files of the harness's data directory come from, and what is known of them beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from catran_causalbench.errors import InputError


@dataclass(frozen=True)
class RemoteFile:
    """A file that the harness looks for in its data directory.

    Attributes
    ----------
    name
        Its name there.
    url
        Where it comes from; encrypted, unless it is this machine.
    purpose
        What the harness takes from it.
    num_bytes, md5, sha256
        Its size and checksums, where they are known.

    Raises
    ------
    InputError
        The name would lead out of the folder.
    """

    name: str
    url: str
    purpose: str
    num_bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.name in {"", ".", ".."} or set(self.name) & set("/\\\0"):
            raise InputError.of("name", repr(self.name), "the bare name of a file")


# The sources of causalbench 1.1.2 (causalscbench.data_access.datasets), except that Figshare's files come from the
# address meant for programs: the other one turns them away. Sizes and MD5 of Figshare's files are those that its API
# gives for article 20029387, as two public registries quote them alike; GitHub's file is fixed by its commit. Of the
# others nothing is known beforehand: CORUM's is whatever its current release is.
_LIGANDS = "LewisLabUCSD/Ligand-Receptor-Pairs/ba44c3c4b4a3e501667309dd9ce7208501aeb961"
_STRING = "https://stringdb-static.org/download"
FILES = (
    RemoteFile(
        "k562.h5ad",
        "https://ndownloader.figshare.com/files/35773219",
        "K562 cells",
        10_661_879_995,
        "4f1122ce1c7f13299a68df6459a266d3",
    ),
    RemoteFile(
        "rpe1.h5ad",
        "https://ndownloader.figshare.com/files/35775606",
        "RPE1 cells",
        8_700_873_216,
        "6a2a9d0d2bf4ec147f4d1104043b268c",
    ),
    RemoteFile(
        "summary_stats.xlsx",
        "https://ars.els-cdn.com/content/image/1-s2.0-S0092867422005979-mmc2.xlsx",
        "strength of the perturbations, for --do_filter",
    ),
    RemoteFile(
        "corum_complexes.txt.zip",
        "https://mips.helmholtz-muenchen.de/corum/download/releases/current/humanComplexes.txt.zip",
        "protein complexes",
    ),
    RemoteFile(
        "human_lr_pair.txt",
        f"https://raw.githubusercontent.com/{_LIGANDS}/Human/Human-2020-Shao-LR-pairs.txt",
        "ligands and receptors",
        360_271,
        sha256="50ec69cd4c1035dffeefe7c4be534d1e9e0e1d1b40bc92ac595883c6e01aa29d",
    ),
    RemoteFile(
        "protein.links.txt.gz",
        f"{_STRING}/protein.links.detailed.v11.5/9606.protein.links.detailed.v11.5.txt.gz",
        "STRING's network",
    ),
    RemoteFile(
        "protein.physical.links.txt.gz",
        f"{_STRING}/protein.physical.links.detailed.v11.5/9606.protein.physical.links.detailed.v11.5.txt.gz",
        "STRING's physical network",
    ),
    RemoteFile(
        "protein.info.txt.gz",
        f"{_STRING}/protein.info.v11.5/9606.protein.info.v11.5.txt.gz",
        "names of STRING's proteins",
    ),
)
