"""Nothing that a file holds is executed, and no module of the package opens a way to it."""

import ast
import pickle
from pathlib import Path

import pytest
import torch
from fault_worker import run
from helpers import REPOSITORY

from catran_causalbench import InputError, load_config
from catran_causalbench.sweep.dask_cluster import connected

MODULES = sorted((REPOSITORY / "catran_causalbench").rglob("*.py"))
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.load",
    "yaml.full_load", "yaml.unsafe_load", "joblib.load", "tempfile.mktemp", "marshal.loads", "dill.load",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "read_pickle", "to_pickle"}


def dotted(node):
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def offences(source):
    """Calls that could run what a file or an input holds."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name, keywords = dotted(call.func), {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        wrong = (
            name in FORBIDDEN_CALLS
            or name.rpartition(".")[2] in FORBIDDEN_METHODS
            or keywords.get("allow_pickle", "False") != "False"
            or keywords.get("shell", "False") != "False"
            or (name.endswith("torch.load") and keywords.get("weights_only") != "True")
        )
        if wrong:
            yield f"line {call.lineno}: {ast.unparse(call)}"


@pytest.mark.guarantee(
    "Security",
    "No module unpickles, evaluates or executes what a file holds, builds shell commands or unpacks "
    "archives blindly (a walk over the syntax tree of every module).",
)
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_calls_what_could_run_a_files_content(path):
    assert list(offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)", "torch.load(x)", "torch.load(x, weights_only=False)", "np.load(x, allow_pickle=True)",
        "yaml.load(x)", "subprocess.run(x, shell=True)", "archive.extractall()", "pd.read_pickle(x)", "os.system(x)",
    ],
)  # fmt: skip
def test_the_walk_finds_what_it_looks_for(source):
    assert list(offences(source))


class Payload:
    """Makes a file when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.guarantee("Security", "A malicious checkpoint is refused, not executed.")
@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_a_malicious_checkpoint_is_refused_and_not_executed(tmp_path, form):
    folder, mark = tmp_path / "run", tmp_path / "executed"
    run("catran", folder)
    state = {**torch.load(folder / "last.ckpt", weights_only=True), "callbacks": Payload(mark)}
    if form == "bare pickle":
        (folder / "last.ckpt").write_bytes(pickle.dumps(state))
    else:
        torch.save(state, folder / "last.ckpt", _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"last\.ckpt, which is no checkpoint of this run"):
        run("catran", folder)
    assert not mark.exists()
    if form == "bare pickle":
        pickle.loads((folder / "last.ckpt").read_bytes())
    else:
        torch.load(folder / "last.ckpt", weights_only=False)
    assert mark.exists(), "the payload works, where it is let"


@pytest.mark.guarantee("Security", "YAML makes plain values only.")
def test_yaml_makes_no_objects(tmp_path):
    mark = tmp_path / "executed"
    path = tmp_path / "settings.yaml"
    path.write_text(f"training: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(InputError, match="no readable YAML"):
        load_config(str(path))
    assert not mark.exists()


@pytest.mark.guarantee("Security", "Only holders of the key that was made for a sweep can talk to its workers.")
def test_a_stranger_cannot_hand_code_to_the_workers_of_a_sweep():
    """Dask unpickles what reaches its scheduler's port, and any user of the machine can reach that."""
    with connected(None, 1) as client:
        address = client.scheduler.address
        assert client.submit(int, "7").result(timeout=60) == 7
        for stranger in (address, address.replace("tls://", "tcp://")):
            with pytest.raises(InputError, match="scheduler"), connected(stranger, None) as other:
                other.submit(int, "7").result(timeout=60)
