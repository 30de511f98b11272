"""Every bundled plugin's kernels beside PyTorch, without TensorRT.

`TRTDSL_KERNELS` names the library of the target `trtdsl_kernels`.
"""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="compares with PyTorch")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
if "TRTDSL_KERNELS" not in os.environ:
    pytest.skip("TRTDSL_KERNELS names no library of kernels", allow_module_level=True)

from plugin_cases import CASES, LARGE, REFUSED, Case, Large  # noqa: E402
from plugin_kernels import Kernels, Refused, Stored, stored_shape  # noqa: E402

from trtdsl.plugins.bundled import bundled_plugins  # noqa: E402

if TYPE_CHECKING:
    from plugin_kernels import Kernel

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3}
SMALLEST = {torch.float32: 1e-37, torch.float16: 6e-8}
"""Nearer to zero, numbers have fewer digits."""
SPECIALS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e4, -1e4, -20.0, 20.0, -88.0, -60.0, 1e-7, -1e-7, 5e-8)
VARIANTS = {"fp32": (torch.float32, "linear"), "fp16": (torch.float16, "linear"), "hwc8": (torch.float16, "hwc8")}
GUARD = 64
"""Elements before and after an output that have to stay as they are."""

GROUPS: dict[str, list[Case]] = {}
for _case in CASES:
    GROUPS.setdefault(f"{_case.plugin}-{'x'.join(map(str, _case.shape)) or 'scalar'}", []).append(_case)
FIRST = {case.plugin: case for case in reversed([case for case in CASES if case.shape == (2, 5, 33, 17)])}


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(Path(os.environ["TRTDSL_KERNELS"]))


def make_inputs(case: Case, dtype: Any) -> list[Any]:
    generator = torch.Generator("cuda").manual_seed(zlib.crc32(f"{case.plugin}{case.shape}{case.fields}".encode()))
    inputs = []
    for shape in (case.shape, *case.others):
        x = case.spread * torch.randn(shape, device="cuda", generator=generator) + case.centre
        if case.specials:
            flat = x.view(-1)[: len(SPECIALS)]
            flat.copy_(torch.tensor(SPECIALS[: flat.numel()], device="cuda"))
        inputs.append(x.to(dtype))
    return inputs


def run_twice(kernel: Kernel, inputs: list[Any], layout: str) -> Any:
    """The output, after a look at its surroundings, and at a second run."""
    stored = [Stored.of(x, layout) for x in inputs]
    [shape] = kernel.output_shapes(stored)
    lying = stored_shape(shape, layout)
    outputs = []
    for _ in range(2):
        room = torch.full((math.prod(lying) + 2 * GUARD,), 1234.0, dtype=inputs[0].dtype, device="cuda")
        output = Stored(room[GUARD : room.numel() - GUARD].view(lying), shape, layout)
        kernel.bound(stored, [output])()
        assert bool((room[:GUARD] == 1234).all() and (room[-GUARD:] == 1234).all()), "wrote outside of its output"
        outputs.append(output.logical())
    assert torch.equal(*map(bits, outputs)), "a second run gave something else"
    return outputs[0]


def bits(x: Any) -> Any:
    """The elements as whole numbers, of which NaN equals itself."""
    return x.contiguous().reshape(-1).view(torch.int32 if x.dtype == torch.float32 else torch.int16)


def error(actual: Any, expected: Any, *, each: bool) -> float:
    """How far an output is off, over the largest magnitude expected, or `each` element over its own.

    Infinite where NaN and infinities are not where they should be.
    """
    smallest = SMALLEST[actual.dtype]
    # What fp16 cannot hold is infinite in either.
    expected = torch.where(expected.to(actual.dtype).isinf(), expected.to(actual.dtype).double(), expected.double())
    actual = actual.double()
    finite = expected.isfinite() & actual.isfinite()
    if actual.shape != expected.shape or not torch.allclose(actual[~finite], expected[~finite], equal_nan=True):
        return math.inf
    actual, expected = actual[finite], expected[finite]
    if not expected.numel():
        return 0.0
    difference, magnitude = (actual - expected).abs(), expected.abs()
    if each:
        return float(((difference - smallest).clamp(min=0) / magnitude.clamp(min=smallest)).max())
    return float(difference.max() / magnitude.max().clamp(min=smallest))


def test_every_plugin_has_cases() -> None:
    named = {case.plugin for case in CASES}
    assert named == {case.plugin for case in LARGE} == {*bundled_plugins()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("group", GROUPS)
def test_as_pytorch(kernels: Kernels, group: str, variant: str) -> None:
    dtype, layout = VARIANTS[variant]
    if layout == "hwc8" and len(GROUPS[group][0].shape) != 4:
        pytest.skip("channels come last in images only")
    for case in GROUPS[group]:
        inputs = make_inputs(case, dtype)
        actual = run_twice(kernels.make(case.plugin, **case.fields), inputs, layout)
        expected = case.reference(*(x.double() if case.in_fp64 else x.float() for x in inputs))
        tolerance = 0 if case.exact else TOLERANCES[dtype]
        assert error(actual, expected, each=case.each) <= tolerance, case


@pytest.mark.parametrize("plugin", FIRST)
def test_another_stream_and_a_graph(kernels: Kernels, plugin: str) -> None:
    case = FIRST[plugin]
    inputs = make_inputs(case, torch.float32)
    kernel = kernels.make(plugin, **case.fields)
    expected = kernel.run(inputs)[0].data
    stored = [Stored.of(x, "linear") for x in inputs]
    output = Stored.empty(tuple(expected.shape), torch.float32, "linear")
    launch = kernel.bound(stored, [output])
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        launch()
    stream.synchronize()
    assert torch.equal(bits(output.data), bits(expected))

    output.data.fill_(1234)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch()
    torch.cuda.synchronize()
    assert bool((output.data == 1234).all()), "ran while it was recorded"
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(bits(output.data), bits(expected))


@pytest.mark.parametrize("plugin", FIRST)
def test_data_that_is_not_aligned(kernels: Kernels, plugin: str) -> None:
    case = FIRST[plugin]
    kernel = kernels.make(plugin, **case.fields)
    for dtype in TOLERANCES:
        inputs = make_inputs(case, dtype)
        expected = kernel.run(inputs)[0].data
        for offset in (1, 2, 3):
            stored = [Stored(moved(x, offset), tuple(x.shape)) for x in inputs]
            output = Stored(moved(expected, 4 - offset).fill_(0), tuple(expected.shape))
            kernel.bound(stored, [output])()
            assert error(output.data, expected, each=case.each) <= TOLERANCES[dtype], (dtype, offset)


def moved(x: Any, offset: int) -> Any:
    """A copy that begins some elements after an aligned address."""
    room = torch.empty(x.numel() + offset, dtype=x.dtype, device="cuda")
    room[offset:].copy_(x.reshape(-1))
    return room[offset:].view(x.shape)


@pytest.mark.parametrize("plugin", ["LeakyReLU", "Mish", "HardSwish"])
def test_all_of_fp16_and_much_of_fp32(kernels: Kernels, plugin: str) -> None:
    case = FIRST[plugin]
    every = torch.arange(-(2**15), 2**15, device="cuda").to(torch.int16).view(torch.float16)
    for x in (every, torch.linspace(-100, 100, 2**22, device="cuda")):
        [output] = kernels.make(plugin, **case.fields).run([x])
        assert error(output.data, case.reference(x.double()), each=True) <= TOLERANCES[x.dtype]


@pytest.mark.parametrize(("plugin", "fields", "shapes", "message"), REFUSED)
def test_refuses(kernels: Kernels, plugin: str, fields: dict[str, Any], shapes: Any, message: str) -> None:
    inputs = [Stored(torch.empty(1, device="cuda"), shape) for shape in shapes]
    with pytest.raises(Refused, match=message):
        kernels.make(plugin, **fields).output_shapes(inputs)


@pytest.mark.parametrize("large", LARGE, ids=lambda large: large.plugin)
def test_more_than_2_31_elements(kernels: Kernels, large: Large) -> None:
    """The kernel is right at either end and in the middle, or refuses before it is launched."""
    kernel = kernels.make(large.plugin, **large.fields)
    data = torch.empty(large.shape, dtype=torch.float16, device="cuda").normal_()
    x = Stored(data, large.shape)
    if large.refused:
        with pytest.raises(Refused, match=large.refused):
            kernel.output_shapes([x])
        return
    [shape] = kernel.output_shapes([x])
    assert math.prod(shape) > 2**31
    output = Stored(torch.empty(shape, dtype=torch.float16, device="cuda"), shape)
    kernel.bound([x], [output])()
    for index in (0, large.shape[0] // 2, large.shape[0] - 1):
        expected = large.reference(data[index : index + 1].float())
        assert error(output.data[index : index + 1], expected, each=False) <= TOLERANCES[torch.float16]
