"""Tables of edges in all the forms in which tools write them."""

import gzip

import pytest

from catran_causalbench.data.edge_table import read_edge_table
from catran_causalbench.errors import InputError

EDGES = [("A", "B"), ("B", "C")]
# What other programs write: a name, the bytes.
TABLES = {
    "source and target": b"source,target\nA,B\nB,C\n",
    "the edges.csv of fit": b"rank,source,target,weight,regulation\n1,A,B,0.5,1\n2,B,C,0.4,-1\n",
    "CausalBench": b",0,1\n0,A,B\n1,B,C\n",
    "CausalBench with a weight": b",0,1,2\n0,A,B,0.5\n1,B,C,0.25\n",
    "arboreto": b"TF\ttarget\timportance\nA\tB\t81.5\nB\tC\t3.25\n",
    "arboreto without a heading": b"A\tB\t81.5\nB\tC\t3.25\n",
    "BEELINE": b"Gene1\tGene2\tEdgeWeight\nA\tB\t0.9\nB\tC\t0.8\n",
    "ARACNe": b"Regulator\tTarget\tMI\tpvalue\nA\tB\t0.9\t0\nB\tC\t0.8\t0\n",
    "a spreadsheet in Europe": b"source;target;weight\r\nA;B;0,5\r\nB;C;0,25\r\n",
    "a spreadsheet, with a mark of the byte order": b"\xef\xbb\xbfsource,target\r\nA,B\r\nB,C\r\n",
    "a spreadsheet's Unicode text": "source\ttarget\r\nA\tB\r\nB\tC\r\n".encode("utf-16"),
    "quotes, spaces and empty lines": b'\n"Source" , "TARGET"\n"A", B\n\nB ,"C"\n',
    "old Macintosh": b"source,target\rA,B\rB,C\r",
}


def read(directory, content, *options, name="edges.csv"):
    path = directory / name
    path.write_bytes(content)
    table = read_edge_table(path, "network", *options)
    return list(zip(table["source"], table["target"], strict=True)), table


@pytest.mark.guarantee(
    "Input",
    "Tables of edges are read by their content: CSV or TSV, also compressed, of this package, CausalBench, arboreto, "
    "ARACNe, BEELINE or a spreadsheet.",
)
@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("compressed", [False, True])
def test_tables_of_all_kinds_give_the_same_edges(tmp_path, form, compressed):
    content = gzip.compress(TABLES[form]) if compressed else TABLES[form]
    assert read(tmp_path, content, name="misleading.tsv")[0] == EDGES


def test_a_path_may_be_any(tmp_path):
    directory = tmp_path / "Gene ü" / ("long" * 40)
    directory.mkdir(parents=True)
    assert read(directory, TABLES["arboreto"], name="Kanten für später.txt")[0] == EDGES


def test_names_that_pandas_would_take_for_missing_are_names(tmp_path):
    assert read(tmp_path, b"source,target\nNA,nan\nNULL,1\n")[0] == [("NA", "nan"), ("NULL", "1")]


def test_other_columns_are_kept_as_text(tmp_path):
    table = read(tmp_path, TABLES["ARACNe"])[1]
    assert table.columns.tolist() == ["source", "target", "mi", "pvalue"]
    assert table["mi"].tolist() == ["0.9", "0.8"]
    assert read(tmp_path, TABLES["arboreto without a heading"])[1]["2"].tolist() == ["81.5", "3.25"]


def test_the_caller_knows_edges_without_a_heading(tmp_path):
    content = b"A\tB\nB\tC\n"
    assert read(tmp_path, content, lambda row: "A" in row)[0] == EDGES
    with pytest.raises(InputError, match=r"edges\.csv with the columns A, B; expected columns source, target, or"):
        read(tmp_path, content)


def test_causalbench_writes_a_network_without_edges_like_this(tmp_path):
    assert read(tmp_path, b'""\n')[0] == []


WHOLE = gzip.compress(TABLES["arboreto"])
FAULTS = {
    "an empty file": (b"", "no readable table in edges.csv .No columns to parse"),
    "rows of different lengths": (b"source,target\nA,B\nA,B,C\n", "no readable .* Expected 2 fields in line 3, saw 3"),
    "half a compressed file": (WHOLE[:-9], "no readable table in edges.csv .Compressed file ended"),
    "a damaged compressed file": (WHOLE[:10] + b"\xff" * 30, "no readable table in edges.csv .Error -3 while decomp"),
    "another encoding": (b"source,target\nA,\xff\n", "no readable table in edges.csv .*'utf-8' codec"),
    "a column twice": (b"source,target,source\nA,B,C\n", "two columns 'source' in edges.csv"),
    "other headings": (b"from,to\nA,B\n", "edges.csv with the columns from, to; expected columns source, target"),
    "one column": (b"genes\nA\n", "edges.csv with the columns genes; expected columns source, target"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_other_files_are_refused_in_one_line(tmp_path, fault):
    content, message = FAULTS[fault]
    with pytest.raises(InputError, match=rf"^network: found {message}") as refusal:
        read(tmp_path, content)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^network: found no file .*none\.csv'"):
        read_edge_table(tmp_path / "none.csv", "network")
    with pytest.raises(InputError, match=r"^network: found no readable table in .*directory"):
        read_edge_table(tmp_path, "network")
