"""Every bundled plugin's kernels beside PyTorch, without TensorRT.

`TRTDSL_KERNELS` names the library of the target `trtdsl_kernels`.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch", reason="compares with PyTorch")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
if "TRTDSL_KERNELS" not in os.environ:
    pytest.skip("TRTDSL_KERNELS names no library of kernels", allow_module_level=True)

from plugin_cases import CASES, LARGE, LARGE_IMAGES, REFUSED, REFUSED_AT_LAUNCH, Case, Large  # noqa: E402
from plugin_kernels import Kernels, Refused, Stored, stored_shape  # noqa: E402
from plugin_numbers import TOLERANCES, VARIANTS, bits, error, make_inputs  # noqa: E402

from trtdsl.plugins.bundled import bundled_plugins  # noqa: E402

if TYPE_CHECKING:
    from plugin_kernels import Kernel

GUARD = 64
"""Elements before and after an output that have to stay as they are."""

GROUPS: dict[str, list[Case]] = {}
for _case in CASES:
    GROUPS.setdefault(f"{_case.plugin}-{'x'.join(map(str, _case.shape)) or 'scalar'}", []).append(_case)
SMALL = (2, 5, 33, 17)
FIRST = {case.plugin: case for case in reversed([case for case in CASES if case.shape == SMALL])}


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    return Kernels(Path(os.environ["TRTDSL_KERNELS"]))


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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("shape", [SMALL, *LARGE_IMAGES], ids=str)
@pytest.mark.parametrize("plugin", FIRST)
def test_another_stream_and_a_graph(kernels: Kernels, plugin: str, shape: tuple[int, ...], variant: str) -> None:
    dtype, layout = VARIANTS[variant]
    cases = [case for case in CASES if case.plugin == plugin and case.shape == shape]
    for case in {id(case): case for case in (cases[0], cases[-1])}.values():
        inputs = make_inputs(case, dtype)
        kernel = kernels.make(plugin, **case.fields)
        expected = kernel.run(inputs, layout)[0].logical()
        output = Stored.empty(tuple(expected.shape), dtype, layout)
        launch = kernel.bound([Stored.of(x, layout) for x in inputs], [output])
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            launch()
        stream.synchronize()
        assert torch.equal(bits(output.logical()), bits(expected)), case

        output.data.fill_(1234)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launch()
        torch.cuda.synchronize()
        assert bool((output.data == 1234).all()), "ran while it was recorded"
        for _ in range(2):
            graph.replay()
            torch.cuda.synchronize()
            assert torch.equal(bits(output.logical()), bits(expected)), case


@pytest.mark.parametrize("plugin", FIRST)
def test_channels_that_fill_up_stay_zero(kernels: Kernels, plugin: str) -> None:
    """Where they are zero in the inputs: a convolution multiplies them by weights of zero, and so does no harm."""
    for case in CASES:
        if case.plugin != plugin or case.shape not in (SMALL, (1, 9, 64, 66)):
            continue
        inputs = [Stored.of(x.nan_to_num(0, 0, 0), "hwc8", 0.0) for x in make_inputs(case, torch.float16)]
        [shape] = kernels.make(plugin, **case.fields).output_shapes(inputs)
        output = Stored.empty(shape, torch.float16, "hwc8")
        kernels.make(plugin, **case.fields).bound(inputs, [output])()
        assert bool((output.data[..., shape[1] :] == 0).all()), case
        assert bool(output.logical().isfinite().all()), case


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


@pytest.mark.parametrize("large", LARGE, ids=lambda large: f"{large.plugin}-{large.layout}-{large.shape}")
def test_more_than_2_31_elements(kernels: Kernels, large: Large) -> None:
    """The kernel is right at either end and in the middle."""
    kernel = kernels.make(large.plugin, **large.fields)
    x, *more = [Stored.empty(shape, torch.float16, large.layout) for shape in (large.shape, *large.others)]
    for stored in (x, *more):
        stored.data.normal_()
    [shape] = kernel.output_shapes([x, *more])
    assert math.prod(shape) > 2**31 - 2**21
    output = Stored.empty(shape, torch.float16, large.layout)
    kernel.bound([x, *more], [output])()
    for index in sorted({0, large.shape[0] // 2, large.shape[0] - 1}):
        sample = slice(index, index + 1)
        expected = large.reference(*(stored.logical()[sample].float() for stored in (x, *more)))
        pieces = zip(*(whole.reshape(-1).split(2**27) for whole in (output.logical()[sample], expected)), strict=True)
        for actual, piece in pieces:
            assert error(actual, piece, each=False) <= TOLERANCES[torch.float16]
        del expected, piece, pieces


@pytest.mark.parametrize(("plugin", "fields", "shape", "layout"), REFUSED_AT_LAUNCH)
def test_refuses_to_launch(
    kernels: Kernels, plugin: str, fields: dict[str, Any], shape: tuple[int, ...], layout: str
) -> None:
    """What only the layout or the number of instances makes too large. There is no memory behind the tensors."""
    kernel = kernels.make(plugin, **fields)
    x = Stored(torch.empty(64, dtype=torch.float16, device="cuda"), shape, layout)
    [out_shape] = kernel.output_shapes([x])
    with pytest.raises(RuntimeError, match=r"CUDA error 1$"):
        kernel.bound([x], [Stored(torch.empty(64, dtype=torch.float16, device="cuda"), out_shape, layout)])()
    torch.cuda.synchronize()


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_compute_sanitizer(tool: str) -> None:
    done = sanitized(tool)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_compute_sanitizer_sees_what_is_wrong() -> None:
    assert "Invalid __global__ write" in sanitized("memcheck", "--too-small").stdout


def sanitized(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What compute-sanitizer says of sanitized_kernels.py."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not on the path")
    script = Path(__file__).with_name("sanitized_kernels.py")
    return subprocess.run(
        [sanitizer, "--tool", tool, "--error-exitcode", "9", "--print-limit", "5", sys.executable, script, *arguments],
        env={**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
