"""Tables of edges, in the forms in which tools for gene networks write them."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catran_causalbench.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

# Headings of the two ends of an edge, in small letters: of this package, CausalBench, arboreto, ARACNe and BEELINE.
_ENDS = (("source", "target"), ("0", "1"), ("tf", "target"), ("regulator", "target"), ("gene1", "gene2"))
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # Excel's "Unicode text"
_GZIP = b"\x1f\x8b"


def read_edge_table(
    path: Path, field: str, is_edge: Callable[[Sequence[str]], bool] = lambda row: False
) -> pd.DataFrame:
    """Read a table of edges as text; its content counts, not the ending of its name.

    Parameters
    ----------
    path
        Text in UTF-8 or UTF-16, perhaps compressed by gzip, separated by tabs, commas or semicolons. Its heading names
        the ends of an edge, in any case: ``source`` and ``target``; ``0`` and ``1``, as in CausalBench's
        output_network.csv; ``TF`` or ``regulator`` and ``target``; or ``gene1`` and ``gene2``.
    field
        What the user calls the file.
    is_edge
        Tells whether a first row that holds no such names is an edge, as it is in any case if its third entry is a
        number. The table then has no heading, and its first two columns are the ends.

    Returns
    -------
    DataFrame
        Columns ``source`` and ``target``, stripped, and the others by their headings in small letters, or by their
        numbers. A file that CausalBench wrote for a network without edges has no rows.

    Raises
    ------
    InputError
        The file cannot be read, or neither its heading nor its first row shows the ends of its edges.
    """
    import pandas as pd

    try:
        text = _read_text(path)
        separator = max("\t,;", key=text.lstrip("\r\n").partition("\n")[0].count)
        as_text = {"header": None, "dtype": str, "keep_default_na": False, "skipinitialspace": True}
        table = pd.read_csv(io.StringIO(text), sep=separator, **as_text)
    except FileNotFoundError:
        raise InputError.of(field, f"no file {str(path)!r}", "an existing table of edges") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        found = f"no readable table in {path.name} ({' '.join(str(error).split())})"
        raise InputError.of(field, found, "rows of a .csv or .tsv, all with the same number of columns") from None
    first = table.iloc[0].tolist()
    heading = [name.strip().lower() for name in first]
    if heading == [""]:
        return pd.DataFrame({"source": [], "target": []}, dtype=str)
    ends = next((ends for ends in _ENDS if {*ends} <= {*heading}), None)
    if ends is not None:
        for end in ends:
            if heading.count(end) > 1:
                raise InputError.of(field, f"two columns {end!r} in {path.name}", "each once")
        table = table[1:].set_axis(heading, axis=1).rename(columns=dict(zip(ends, _ENDS[0], strict=True)))
    elif len(first) >= 2 and (is_edge(first) or _is_number(*first[2:3])):
        table = table.set_axis([*_ENDS[0], *map(str, range(2, len(first)))], axis=1)
    else:
        found = f"{path.name} with the columns {', '.join(first[:5])}"
        raise InputError.of(field, found, "columns source, target, or TF, target, or rows that begin with two genes")
    return table.reset_index(drop=True).assign(**{end: table[end].str.strip().to_numpy() for end in _ENDS[0]})


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(_GZIP):
        content = gzip.decompress(content)
    return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")


def _is_number(text: str = "") -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
