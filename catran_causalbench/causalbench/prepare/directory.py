"""CausalBench's data directory as it is downloaded, prepared: the same data in small files that load in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from catran_causalbench.causalbench.manifest import (
    CORUM,
    DATASET_FILES,
    EXPRESSION_FILES,
    LIGAND_RECEPTOR,
    REFERENCE_FILES,
    STRING_NETWORK,
    STRING_PHYSICAL,
    STRING_PROTEINS,
    SUMMARY,
    SUMMARY_SHEETS,
    find_fault,
    find_stub,
)
from catran_causalbench.causalbench.metadata import DESCRIPTION, MADE_BY, README, find_metadata
from catran_causalbench.causalbench.prepare.cell_lines import check_cell_lines, is_published
from catran_causalbench.causalbench.prepare.counts import Progress
from catran_causalbench.causalbench.prepare.dataset import DatasetPlan
from catran_causalbench.causalbench.prepare.expression_file import ExpressionFile
from catran_causalbench.causalbench.prepare.receipt import RECEIPT, Receipt, state_of
from catran_causalbench.causalbench.prepare.string_links import dropped_proteins, write_links
from catran_causalbench.causalbench.prepare.summary import read_summaries
from catran_causalbench.errors import InputError
from catran_causalbench.utils.atomic_io import (
    check_replaceable,
    link_atomically,
    remove_temporary_files,
    write_atomically,
    write_json,
)
from catran_causalbench.utils.locking import lock_directory
from catran_causalbench.utils.parallel import prefetched

Say = Callable[[str], object]

_LINKED = (CORUM, LIGAND_RECEPTOR, STRING_PROTEINS, SUMMARY)
_LINKS = (STRING_NETWORK, STRING_PHYSICAL)
_FILES = (*DATASET_FILES, *EXPRESSION_FILES, DESCRIPTION, README, RECEIPT, *_LINKED, *_LINKS)
_FILE_OF = dict(zip(SUMMARY_SHEETS, EXPRESSION_FILES, strict=True))  # by cell line


def prepare_directory(
    data: Path,
    directory: Path,
    overwrite: bool = False,
    say: Say = lambda message: None,
    progress: Progress = lambda name, done, total: None,
) -> list[str]:
    """Prepare CausalBench's data; return sentences that say what was found.

    Each .h5ad is read once, block by block. The cells are bit for bit those that CausalBench would have made, so its
    results do not change. A data set that is finished is not made again.

    Parameters
    ----------
    data
        The directory that holds CausalBench's files under its names. It is not changed.
    directory, overwrite
        The directory to make, and whether to make everything anew in one that this command made before.
    say, progress
        Called with a message for every step; and for every block with what is read or written, how much of it is done
        and how much there is.

    Raises
    ------
    InputError
        Before any work starts: a file is missing, damaged or not what its name says, or the directory cannot be
        written to. While counts are read: they are no counts. While files are written: the disk is full. Data sets
        that are finished stay.
    """
    if directory.exists() and data.exists() and directory.samefile(data):
        raise InputError.of("directory", f"{str(directory)!r}, which holds the data", "another directory")
    is_new = not directory.exists()
    with lock_directory(directory, "directory", "preparation"):
        try:
            return _prepare(data, directory, overwrite, say, progress)
        except BaseException:
            if is_new:
                with suppress(OSError):  # something was written
                    directory.rmdir()
            raise


def _prepare(data: Path, directory: Path, overwrite: bool, say: Say, progress: Progress) -> list[str]:
    remove_temporary_files(directory, _FILES)  # of a preparation that was killed
    receipt = Receipt.read(directory)
    if receipt is None:
        check_replaceable(directory, "directory", (), overwrite)
        receipt = Receipt(directory)
    _check_sources(data, directory)
    states = {name: state_of(data / name) for name in (*EXPRESSION_FILES, SUMMARY)}
    sources_of = {line: {name: states[name] for name in (file, SUMMARY)} for line, file in _FILE_OF.items()}
    unfinished = [line for line in _FILE_OF if overwrite or not receipt.is_finished(line, sources_of[line])]
    sources_of["links"] = {name: state_of(data / name) for name in (*EXPRESSION_FILES, STRING_PROTEINS, *_LINKS)}
    links = () if not overwrite and receipt.is_current("links", sources_of["links"]) else _LINKS
    with prefetched(_faults(data, links)) as faults:  # to unpack them takes as long as to read all labels
        if unfinished:
            say("Reading the labels of the cells and the names of the genes")
            plans = _plan(data, filtered=states[SUMMARY] is not None)
        _refuse(data, faults)
    if unfinished:
        title = _title_of_simulation(data, plans)
        old = [directory / name for name in _FILES if overwrite and (directory / name).exists()]
        _check_disk(data, directory, sum(plans[line].num_bytes for line in unfinished), old)
        for path in old:
            path.unlink()
        receipt = Receipt(directory, {} if old else receipt.entries)
        receipt.write()
        _describe(directory, title)
    with prefetched(_write_links(data, directory, links, say)) as written:
        for line in unfinished:
            plan = plans.pop(line)  # and with it its labels, when its data set is written
            say("{}: {:,} cells × {:,} genes".format(plan.file.path.name, *plan.file.shape))
            found = plan.write(directory, title, progress)
            receipt.add(line, sources_of[line], plan.names, found)
        for found in written:
            receipt.add("links", sources_of["links"], links, found)
    for name in _LINKED:
        if state_of(data / name) not in (None, state_of(directory / name)):
            link_atomically(data / name, directory / name)
    found = [sentence for name in (*_FILE_OF, "links") for sentence in receipt.entries[name].found]
    if states[SUMMARY] is None:
        advice = f"`catran-causalbench download --output {data}` fetches it"
        found.append(f"no filtered cells, which --do_filter needs, because {SUMMARY} is missing; {advice}")
    return found


def _write_links(data: Path, directory: Path, names: Sequence[str], say: Say) -> Iterator[list[str]]:
    """Write STRING's links, if there are any to write; yield what was found, once."""
    if names:
        say("Reading STRING's links")
        dropped = dropped_proteins(data)
        yield [write_links(data / name, directory / name, dropped) for name in names]


def _check_sources(data: Path, directory: Path) -> None:
    """Raise InputError if a file is missing or damaged; the reference files that are in place already are intact."""
    missing = [name for name in (*EXPRESSION_FILES, *REFERENCE_FILES) if not (data / name).is_file()]
    if missing:
        raise InputError.of("data", f"no {', '.join(missing)} in {str(data)!r}", _advice(data))
    names = [name for name in _LINKED if state_of(data / name) not in (None, state_of(directory / name))]
    _refuse(data, _faults(data, (*EXPRESSION_FILES, *names)))


def _faults(data: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with each file that is damaged, or a stub beside cells that were downloaded."""
    genuine = any(map(is_published, (data / name for name in EXPRESSION_FILES)))
    for name in names:
        if fault := find_fault(data / name, name) or genuine * find_stub(data / name, name):
            yield f"{name} in {str(data)!r}, which {_verb(fault)}"


def _refuse(data: Path, faults: Iterator[str]) -> None:
    for fault in faults:
        raise InputError.of("data", fault, _advice(data))


def _advice(data: Path) -> str:
    return f"CausalBench's files, intact; `catran-causalbench download --output {data}` fetches them"


def _verb(fault: str) -> str:
    return fault if fault.startswith(("lacks", "cannot")) else f"has {fault}"


def _plan(data: Path, filtered: bool) -> dict[str, DatasetPlan]:
    files = {line: ExpressionFile.read(data / name) for line, name in _FILE_OF.items()}
    summaries = read_summaries(data / SUMMARY) if filtered else {}
    check_cell_lines(files, summaries)
    return {line: DatasetPlan.make(line, file, summaries.get(line)) for line, file in files.items()}


def _title_of_simulation(data: Path, plans: Mapping[str, DatasetPlan]) -> str:
    """Return what the data say about being simulated; empty for measured data."""
    metadata = find_metadata(data)
    titles = [str(metadata.get("title")) if metadata.get("simulated") else ""]
    return next(filter(None, [*titles, *(plan.file.simulated for plan in plans.values())]), "")


def _check_disk(data: Path, directory: Path, num_bytes: int, old: list[Path]) -> None:
    free = shutil.disk_usage(directory).free + sum(path.stat().st_size for path in old)
    if data.stat().st_dev != directory.stat().st_dev:  # on the same disk they are linked
        num_bytes += sum(path.stat().st_size for name in (*_LINKED, *_LINKS) if (path := data / name).exists())
    if num_bytes > free:
        found = f"{free / 1e9:.1f} GB free on the disk of {str(directory)!r}"
        raise InputError.of("directory", found, f"{num_bytes / 1e9:.1f} GB")


def _describe(directory: Path, title_of_simulation: str) -> None:
    title = title_of_simulation or "CausalBench's K562 and RPE1 data"
    references = "CausalBench's, without links that it drops"
    description = {"title": title, "simulated": bool(title_of_simulation), "made_by": MADE_BY, "references": references}
    write_json(directory / DESCRIPTION, description)
    readme = f"""{title}

A data directory for CausalBench (causalbench_run --data_directory), prepared by {MADE_BY} from the directory that
CausalBench downloads. The cells (dataset_*.npz) are bit for bit those that CausalBench makes of the original .h5ad
files. The .h5ad files here hold the names of the perturbed genes and of all genes, but no expression, because
CausalBench reads nothing else from them once the cells are there. STRING's links (protein.*links.txt.gz) are those
between such genes, without their scores, because CausalBench drops the rest. All other files are the original ones, or
links to them. {RECEIPT}, which CausalBench does not read, says from which files all this was made and what was found.
"""
    write_atomically(directory / README, lambda part: part.write_text(readme, encoding="utf-8"))
