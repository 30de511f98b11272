"""Every bundled plugin's enqueue, V2 and V3, called as TensorRT calls it, beside PyTorch.

`TRTDSL_CALLS` names compiled libraries with the headers that they are for: LIBRARY=HEADERS,LIBRARY=HEADERS.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="compares with PyTorch")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU here", allow_module_level=True)
if "TRTDSL_CALLS" not in os.environ:
    pytest.skip("TRTDSL_CALLS names no library of plugins with its headers", allow_module_level=True)

from plugin_calls import Library, Plugin, Refused, Unsupported  # noqa: E402
from plugin_cases import CASES, REFUSED, Case  # noqa: E402
from plugin_kernels import Stored  # noqa: E402
from plugin_numbers import TOLERANCES, VARIANTS, bits, error, make_inputs  # noqa: E402

from trtdsl.library.headers import version_of  # noqa: E402
from trtdsl.plugins.bundled import bundled_plugins  # noqa: E402
from trtdsl.plugins.declaration import V2, V3  # noqa: E402

LARGEST = 100_000
"""Elements of the largest input; what is larger is the kernels' own tests'."""
GIVEN = dict(pair.split("=") for pair in os.environ["TRTDSL_CALLS"].split(","))
KINDS = {
    f"{'.'.join(map(str, version))}-V{2 if kind == V2 else 3}": (library, kind)
    for library, headers in GIVEN.items()
    if (version := version_of(Path(headers)))
    for kind in ((V2,) if version < (10,) else (V2, V3))
}


@pytest.fixture(scope="module")
def library_at(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cache(lambda path: Library(Path(path), Path(GIVEN[path]), tmp_path_factory.mktemp("calls")))


@pytest.fixture(params=KINDS)
def library(request: pytest.FixtureRequest, library_at: Any) -> tuple[Library, str]:
    """A library, and which of its two kinds of plugins."""
    path, kind = KINDS[request.param]
    return library_at(path), kind


def test_there_are_headers_for_every_library() -> None:
    assert {path for path, _ in KINDS.values()} == {*GIVEN}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("plugin", bundled_plugins())
def test_as_pytorch(library: tuple[Library, str], plugin: str, variant: str) -> None:
    dtype, layout = VARIANTS[variant]
    called = 0
    for case in CASES:
        if case.plugin != plugin or math.prod(case.shape) > LARGEST:
            continue
        if layout == "hwc8" and (len(case.shape) != 4 or case.shape[1] % 8):
            continue
        _check(library, case, make_inputs(case, dtype), layout)
        called += 1
    assert called > 1


def _check(library: tuple[Library, str], case: Case, inputs: list[Any], layout: str) -> None:
    """A plugin that was kept in an engine gives PyTorch's numbers, the same in two contexts and in a CUDA graph."""
    expected = case.reference(*(x.double() if case.in_fp64 else x.float() for x in inputs))
    stored = [Stored.of(x, layout) for x in inputs]
    outputs = [Stored.empty(tuple(expected.shape), inputs[0].dtype, layout) for _ in range(2)]
    made = library[0].make(case.plugin, library[1], case.fields)
    size = made.configure(stored, outputs[:1])
    restored = made.restored()
    del made
    contexts = [restored.attached().bound(stored, [output], size) for output in outputs]
    del restored  # the contexts go on without what they were made of
    _at_once(contexts)
    assert library[0].said() == ""
    tolerance = 0 if case.exact else TOLERANCES[inputs[0].dtype]
    assert error(outputs[0].logical(), expected, each=case.each) <= tolerance, case
    found = bits(outputs[0].logical()).clone()
    assert torch.equal(bits(outputs[1].logical()), found), f"two contexts differ: {case}"
    if not expected.numel():
        return  # nothing is launched, and PyTorch warns of a graph of nothing
    outputs[0].data.fill_(math.nan)
    _captured(contexts[0])
    assert torch.equal(bits(outputs[0].logical()), found), f"a graph differs: {case}"


def _at_once(contexts: list[Any]) -> None:
    """Runs on streams of their own, none of them the default one, that do not wait for one another."""
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in contexts]
    for stream, enqueue in zip(streams, contexts, strict=True):
        with torch.cuda.stream(stream):
            enqueue()
    for stream in streams:
        stream.synchronize()


def _captured(enqueue: Any) -> None:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        enqueue()
    graph.replay()
    torch.cuda.synchronize()


@pytest.mark.parametrize(("plugin", "fields", "shapes", "message"), REFUSED)
def test_refuses(library: tuple[Library, str], plugin: str, fields: dict[str, Any], shapes: Any, message: str) -> None:
    """In so many words, and launches nothing: the memory of these tensors is one element each."""
    inputs = [Stored(torch.empty(1, device="cuda"), shape) for shape in shapes]
    output = Stored(torch.full((1,), 1234.0, device="cuda"), shapes[0])
    made = library[0].make(plugin, library[1], fields)
    if library[1] == V3:
        with pytest.raises(Refused, match=message):
            made.configure(inputs, [output])
        return
    # V2 has no way to refuse when it is configured; TensorRT's log has the words.
    size = made.configure(inputs, [output])
    assert message in library[0].said()
    with pytest.raises(Refused, match=message):
        made.attached().bound(inputs, [output], min(size, 1024))()
    torch.cuda.synchronize()
    assert float(output.data) == 1234.0


def test_other_types_and_layouts(library: tuple[Library, str]) -> None:
    def x(dtype: Any, layout: str = "linear", channels: int = 8) -> Stored:
        return Stored.empty((1, channels, 4, 4), dtype, layout)

    half, single = torch.float16, torch.float32
    for tensors in (
        (x(half), x(single)),
        (x(half, "hwc8"), x(half)),
        (x(single, "hwc8"), x(single, "hwc8")),
        (x(half, "hwc8", 5), x(half, "hwc8", 5)),
        (x(half), x(half), x(half)),
    ):
        for plugin in ("Mish", "InstanceNorm"):
            with pytest.raises(Unsupported):
                library[0].make(plugin, library[1], {}).configure(tensors[:-1], tensors[-1:])


def test_one_plugin_at_several_shapes(library: tuple[Library, str]) -> None:
    """A context meets one shape after another; its fields lie on the device all along."""
    fields = {"scale": [0.5, -2.0, 3.0], "bias": [1.0, 0.0, -1.0], "activation": "leaky_relu", "slope": 0.5}
    case = next(case for case in CASES if case.plugin == "InstanceNorm")
    largest = Stored.empty((4, 3, 40, 50), torch.float32, "linear")
    made = library[0].make("InstanceNorm", library[1], fields)
    size = made.configure([largest], [largest])
    context: Plugin = made.restored().attached()
    for shape in ((4, 3, 40, 50), (1, 3, 7, 5), (3, 3, 1, 1), (2, 3, 33, 17)):
        x = make_inputs(case, torch.float32)[0].new_empty(shape).normal_(1, 2)
        output = Stored.empty(shape, torch.float32, "linear")
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            context.bound([Stored.of(x, "linear")], [output], size)()
        stream.synchronize()
        centred = x.double() - x.double().mean((2, 3), keepdim=True)
        wanted = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        numbers = [torch.tensor(fields[name], device="cuda").view(1, 3, 1, 1) for name in ("scale", "bias")]
        wanted = torch.nn.functional.leaky_relu(wanted * numbers[0] + numbers[1], 0.5)
        assert error(output.data, wanted, each=False) <= TOLERANCES[torch.float32], shape
