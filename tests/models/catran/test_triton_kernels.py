"""The GPU's head: interpreted on a CPU, or run for real where there is a GPU; and what happens where it cannot run."""

import logging
import os
import subprocess
import sys

import pytest
import torch
from helpers import head_inputs, plain_head, value_and_gradients

from catran_causalbench.models.catran import silu_head as head
from catran_causalbench.models.catran.silu_head import DirectHead, compiled_head

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytest.importorskip("triton", reason="no triton here, which torch's CUDA builds and the extra test bring along")


@pytest.fixture(autouse=True)
def forget():
    compiled_head.cache_clear()
    yield
    compiled_head.cache_clear()


@pytest.mark.parametrize("shape", [(100, 7, 5), (40, 35, 11), (16, 32, 3), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients(shape, dtype):
    from catran_causalbench.models.catran.triton_kernels import FusedHead

    found = value_and_gradients(FusedHead.apply, [value.to(DEVICE) for value in head_inputs(*shape, dtype=dtype)])
    expected = value_and_gradients(plain_head, head_inputs(*shape))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for result, truth in zip(found, expected, strict=True):
        assert (result.cpu().double() - truth).abs().max() <= tolerance * truth.abs().max()


def test_the_layout_of_the_inputs_does_not_matter():
    from catran_causalbench.models.catran.triton_kernels import FusedHead

    values = [value.to(DEVICE) for value in head_inputs(50, 33, 4)]
    strided = [torch.stack((value, value), dim=-1).detach()[..., 0] for value in values]
    assert not any(value.is_contiguous() for value in strided)
    found = value_and_gradients(FusedHead.apply, [value.requires_grad_() for value in strided])
    torch.testing.assert_close(found, value_and_gradients(plain_head, values))


def test_same_input_same_bits():
    from catran_causalbench.models.catran.triton_kernels import FusedHead

    values = [value.to(DEVICE) for value in head_inputs(90, 40, 6, dtype=torch.float32)]
    first, second = (value_and_gradients(FusedHead.apply, values) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_it_is_taken_where_it_agrees_with_the_direct_sum(caplog):
    from catran_causalbench.models.catran import triton_kernels as fused_head

    assert compiled_head(DEVICE) is fused_head.FusedHead
    assert not caplog.records


@pytest.mark.guarantee(
    "Faults",
    "Where the GPU kernels do not compile, or disagree with the plain sum, the plain sum is used, and a "
    "warning says so once (tested in Triton's interpreter).",
)
def test_the_direct_sum_is_taken_where_it_does_not(monkeypatch, caplog):
    from catran_causalbench.models.catran import triton_kernels as fused_head

    monkeypatch.setattr(fused_head, "_grid", lambda x: (1, 2))  # leaves out the cells after the first block
    assert compiled_head(DEVICE) is DirectHead
    assert "not compiled" in caplog.text


@pytest.mark.guarantee(
    "Faults",
    "Where the GPU kernels do not compile, or disagree with the plain sum, the plain sum is used, and a "
    "warning says so once (tested in Triton's interpreter).",
)
def test_the_direct_sum_is_taken_without_a_compiler_and_that_is_said_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "catran_causalbench.models.catran.triton_kernels", None)
    with caplog.at_level(logging.WARNING, head.__name__):
        assert compiled_head(DEVICE) is DirectHead
        assert compiled_head(DEVICE) is DirectHead
    assert [record.message for record in caplog.records] == [
        f"The module's head is not compiled for {DEVICE}, which makes training slower: "
        "import of catran_causalbench.models.catran.triton_kernels halted; None in sys.modules"
    ]


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from catran_causalbench.models.catran import triton_kernels as fused_head

for kernel in (fused_head.sum_channels, fused_head.differentiate):
    for number in ("fp32", "fp64"):
        types = {name: f"*{number}" if name.endswith("_at") else "i32" for name in kernel.arg_names}
        sizes = {"CELLS": fused_head._CELLS, "GENES": fused_head._GENES}
        source = ASTSource(kernel, types | dict.fromkeys(sizes, "constexpr"), sizes)
        compiled = compile(source, target=GPUTarget("cuda", {architecture}, 32), options=fused_head._OPTIONS)
        assert len(compiled.asm["cubin"]) > 1000
"""


@pytest.mark.parametrize("architecture", [80, 90])
def test_the_kernels_compile_for_a_gpu_that_is_not_here(architecture, tmp_path):
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    program = COMPILE.replace("{architecture}", str(architecture))
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
