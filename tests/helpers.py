"""Data, settings and reference computations that several test modules share."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from catran_causalbench import CatranConfig
from catran_causalbench.config import CatranSettings, EvidenceSettings, OutputSettings

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
# For processes of their own, which import modules from here.
PYTHONPATH = os.pathsep.join(str(REPOSITORY / folder) for folder in ("tests", "tests/integration"))


def random_data(cells=600, genes=12, seed=0):
    """Counts on a log scale with controls, knock-downs of the first genes, and excluded cells."""
    rng = np.random.default_rng(seed)
    names = [f"gene{number:02d}" for number in rng.permutation(genes)]
    matrix = np.log1p(rng.poisson(rng.gamma(2, 1, genes), size=(cells, genes))).astype(np.float32)
    labels = rng.choice([*names[: genes // 2], "non-targeting", "non-targeting", "excluded"], cells)
    return matrix, [str(label) for label in labels], names


def files_and_arrays(directory, but=""):
    """Return the bytes of all files of a directory but one, and those of the arrays of the .npz files among them."""
    found = {}
    for path in sorted(directory.iterdir()):
        if path.suffix == ".npz" and not path.name.startswith("."):
            with np.load(path) as arrays:
                found |= {f"{path.name}/{name}": array.tobytes() for name, array in arrays.items()}
        elif path.name != but:
            found[path.name] = path.read_bytes()
    return found


class FullAfter:
    """In place of `os.fsync`, let the disk be full from some write of a file on."""

    def __init__(self, writes):
        self._left = writes

    def __call__(self, descriptor):
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


QUICK = CatranConfig(
    model="catran",
    catran=CatranSettings(epochs=3, cells_per_minibatch=128, learning_rate=0.01),
    output=OutputSettings(edges=50),
)
QUICK_EVIDENCE = CatranConfig(
    evidence=EvidenceSettings(steps=20, pairs_per_minibatch=256), output=OutputSettings(edges=50)
)
BOTH_MODELS = pytest.mark.parametrize("config", [QUICK, QUICK_EVIDENCE], ids=["catran", "evidence"])


def quick(**changes):
    """Settings of a short training of the model ``catran``, with some of them changed."""
    return replace(QUICK, catran=replace(QUICK.catran, **changes))


def plain_head(x, slope, offset, readout):
    return torch.nn.functional.silu(x.unsqueeze(-1) * slope + offset) @ readout


def head_inputs(cells=400, genes=7, channels=5, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    x, slope, offset, readout = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((cells, genes), (channels,), (genes, channels), (channels,))
    )
    return [value.to(dtype).requires_grad_() for value in (scale * x, slope, offset, readout)]


def value_and_gradients(function, values):
    result = function(*values)
    weights = torch.linspace(-1, 2, result.numel(), dtype=result.dtype, device=result.device).view_as(result)
    return [result.detach(), *torch.autograd.grad((result * weights).sum(), values)]


def randomised(network, scale=0.4, seed=0):
    """Parameters of ordinary size, so that no term of the network is negligible."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return network


def variant(genes, name):
    """Arguments that the preset ``catran`` changes, for a module of the model ``catran`` with that many genes."""
    signs = torch.randn(genes, genes, generator=torch.Generator().manual_seed(4)).sign().double()
    each = {
        "the paper's": {},
        "directed": {"directed": True},
        "no self-attention": {"self_attention": False},
        "signed": {"signs": signs},
    }
    everything = {argument: value for changes in each.values() for argument, value in changes.items()}
    return everything if name == "all" else each[name]


VARIANTS = ["the paper's", "directed", "no self-attention", "signed", "all"]
