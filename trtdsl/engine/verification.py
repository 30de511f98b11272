"""The types that a built engine computes in, beside those that were asked for.

What is asked is read off the typed graph, what is there off the inspector's records. Three kinds of facts follow: the
type of the weights of a kernel, the type of a tensor that a kernel reads or writes, and, for what was fused in the
middle of a kernel, the type that all facts of that kernel agree on. What lies inside of a Myelin node, which is a
compiler of its own, shows none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from trtdsl.engine.inspection import EngineLayer, Inspection
from trtdsl.engine.names import NamesInEngines
from trtdsl.errors import BuildError, Diagnostic, abridged, used_at
from trtdsl.graph import Graph, Layer
from trtdsl.ops.base import Policy
from trtdsl.types import DataType

_QUANTIZED = frozenset({DataType.INT8, DataType.INT4, DataType.FP8})


@dataclass(frozen=True)
class Verdict:
    """What an engine computes one layer in. `found` is None where that is unknown, and `why` says the reason.

    For a difference, `why` says what shows it.
    """

    layer: Layer
    asked: DataType
    found: DataType | None
    why: str = ""

    @property
    def differs(self) -> bool:
        return self.found is not None and bool(self.why)


@dataclass(frozen=True)
class PrecisionReport:
    """The verdict on every layer that computes.

    `allowed` are patterns over layers that may differ, `unquantized` the reasons for which layers are not quantised
    that were asked to be; `why` is the reason for which no engine was looked at, if none was.
    """

    verdicts: tuple[Verdict, ...]
    allowed: tuple[str, ...] = ()
    unquantized: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for manifests."""
        asked = Counter(str(verdict.asked) for verdict in self.verdicts)
        common = asked.most_common(1)[0][0] if asked else None
        found = Counter(str(verdict.found) for verdict in self.verdicts if verdict.found is not None)
        unverified: dict[str, list[str]] = defaultdict(list)
        for verdict in self.verdicts if self.why is None else ():
            if verdict.found is None:
                unverified[verdict.why].append(verdict.layer.name)
        return {
            "layers": dict(asked),
            "others": {
                verdict.layer.name: str(verdict.asked) for verdict in self.verdicts if str(verdict.asked) != common
            },
            "verified": self.why is None and all(v.found is not None and not v.differs for v in self.verdicts),
            "why": self.why,
            "found": dict(found),
            "differs": {
                verdict.layer.name: {"asked": str(verdict.asked), "found": str(verdict.found), "why": verdict.why}
                for verdict in self.verdicts
                if verdict.differs
            },
            "unverified": dict(unverified),
            "unquantized": dict(self.unquantized),
        }

    def check(self) -> None:
        """Raise BuildError with every layer that computes in another type than asked, but for those allowed by name."""
        refused = [_refusal(verdict) for verdict in self.verdicts if verdict.differs and not self._allows(verdict)]
        if refused:
            raise BuildError(abridged(refused))

    def _allows(self, verdict: Verdict) -> bool:
        return any(fnmatchcase(verdict.layer.name, pattern) for pattern in self.allowed)


def _refusal(verdict: Verdict) -> Diagnostic:
    layer = verdict.layer
    return Diagnostic(
        "precision-differs",
        f"{layer.name} is to compute in {verdict.asked}, and TensorRT computes it in {verdict.found}: {verdict.why}",
        layer.span("precision"),
        f"if that may be, say so: `precision: {{allow: [{layer.name}]}}`",
        used_at(layer.origin),
    )


def asked_only(graph: Graph, why: str, allowed: Sequence[str] = ()) -> PrecisionReport:
    """What was asked for of an engine that nothing looks into, for the reason given."""
    verdicts = (Verdict(layer, asked_of(layer, graph), None, why) for layer in computing(graph))
    return PrecisionReport(tuple(verdicts), tuple(allowed), graph.unquantized, why)


def verify_precision(graph: Graph, inspection: Inspection, allowed: Sequence[str] = ()) -> PrecisionReport:
    """The types found in an engine beside those that a typed graph asks for.

    `allowed` are patterns over names of layers that may compute in other types.
    """
    if not inspection.detailed:
        return asked_only(graph, "the engine was not built with `profiling_verbosity: detailed`", allowed)
    evidence = _Evidence(graph, inspection)
    verdicts = tuple(evidence.verdict(layer) for layer in computing(graph))
    return PrecisionReport(verdicts, tuple(allowed), graph.unquantized)


def computing(graph: Graph) -> Iterator[Layer]:
    """The layers whose precision means something: those that make floats out of tensors, casts left out."""
    for layer in graph.all_layers():
        is_computation = layer.op.kind not in ("cast", "quantize", "dequantize") and not layer.bodies
        if is_computation and any(layer.inputs) and any(graph.types[name].dtype.is_float for name in layer.outputs):
            yield layer


def asked_of(layer: Layer, graph: Graph) -> DataType:
    """The type that a layer of a typed graph is to compute in; that of its elements where it only moves them."""
    if layer.quantized is not None:
        return layer.quantized
    if layer.op.precision_policy() in (Policy.TRANSPARENT, Policy.AS_GIVEN):
        return next(graph.types[name].dtype for name in layer.outputs if graph.types[name].dtype.is_float)
    return layer.precision


@dataclass(frozen=True)
class _Fact:
    """The type of one thing in an engine that is seen, and whether it is what was asked of it."""

    found: DataType
    fits: bool
    what: str


class _Evidence:
    """What an engine's layers show of the layers of a graph."""

    def __init__(self, graph: Graph, inspection: Inspection) -> None:
        self.graph = graph
        self._names = NamesInEngines(graph, inspection)
        self._facts: dict[str, list[_Fact]] = defaultdict(list)
        self._kernels: dict[str, list[EngineLayer]] = defaultdict(list)
        self._nodes: dict[str, EngineLayer] = {}
        self._kernel_types: dict[str, set[DataType]] = {}
        self._quantized: set[str] = set()
        """Names of kernels that multiply what is quantised."""
        self._moved: set[str] = set()
        """Layers that read or write numbers that are quantised, though nobody asked them to."""
        self._uncast: set[str] = set()
        """Layers that read or write fp32 where TensorRT left a cast out, which loses nothing."""
        self._casts = _types_beside_casts(graph)
        for kernel, members in self._names.members():
            self._learn(kernel, members)

    def verdict(self, layer: Layer) -> Verdict:
        """What the engine says of one layer."""
        asked = asked_of(layer, self.graph)
        facts = self._facts[layer.name]
        wrong = next((fact for fact in facts if not fact.fits), None)
        if wrong is not None:
            return Verdict(layer, asked, wrong.found, wrong.what)
        kernels = self._kernels[layer.name]
        if kernels and any(fact.found is asked for fact in facts):
            return Verdict(layer, asked, asked)
        types = set().union(*(self._kernel_types[kernel.name] for kernel in kernels)) if kernels else set()
        if types == {asked}:
            return Verdict(layer, asked, asked)
        return Verdict(layer, asked, None, self._why(layer, kernels, types))

    def _why(self, layer: Layer, kernels: Sequence[EngineLayer], types: Iterable[DataType]) -> str:
        """The reason for which a layer's type is unknown."""
        if layer.name in self._moved:
            return "TensorRT moved quantisation across it"
        if layer.name in self._uncast:
            return "TensorRT left out a cast beside it, and may compute it in fp32"
        if any(kernel.name in self._quantized for kernel in kernels):
            return "in the kernel of a product of quantised numbers"
        if kernels:
            seen = ", ".join(sorted(map(str, types)))
            name = kernels[0].name
            return f"fused into {name}, which has {seen}" if seen else f"the inspector tells no types of {name}"
        if layer.name in self._nodes:
            return f"inside of {self._nodes[layer.name].name}"
        return "no layer of the engine is known to have it"

    def _learn(self, kernel: EngineLayer, members: Sequence[Layer]) -> None:
        if _hides(kernel):
            self._nodes.update((member.name, kernel) for member in members)
        else:
            for member in members:
                self._kernels[member.name].append(kernel)
        found = [*self._of_products(kernel, members)]
        if any(member.quantized is not None for member in members) and not _hides(kernel):
            self._quantized.add(kernel.name)
        else:
            found += self._of_tensors(kernel, members)
            if any(tensor.dtype in _QUANTIZED for tensor in (*kernel.inputs, *kernel.outputs)):
                self._moved.update(member.name for member in members)
        for member, fact in found:
            self._facts[member.name].append(fact)
        self._kernel_types[kernel.name] = {fact.found for _, fact in found if fact.fits}

    def _of_products(self, kernel: EngineLayer, members: Sequence[Layer]) -> Iterator[tuple[Layer, _Fact]]:
        """The type of a kernel's weights, for those of its layers that multiply by any; of quantised products without
        weights, that of what is read.
        """
        dtype, _ = (kernel.weights or {}).get("Weights", (None, 0))
        multiplying = [layer for layer in members if _multiplies(layer)]
        asked = {asked_of(layer, self.graph) for layer in multiplying}
        if dtype is not None and len(asked) == 1:
            for layer in multiplying:
                yield layer, _Fact(dtype, dtype in asked, f"the weights of {_shown(kernel)} are {dtype}")
        read = [tensor.dtype for tensor in kernel.inputs if tensor.dtype is not None]
        for layer in members:
            if layer.quantized is not None and not _multiplies(layer) and read and not _hides(kernel):
                found = layer.quantized if layer.quantized in read else read[0]
                yield layer, _Fact(found, found is layer.quantized, f"{_shown(kernel)} reads {found}")

    def _of_tensors(self, kernel: EngineLayer, members: Sequence[Layer]) -> Iterator[tuple[Layer, _Fact]]:
        """The types of a kernel's tensors, each for the layer of it that makes or reads it."""
        names = {layer.name for layer in members}
        for tensor, is_output in [*((entry, False) for entry in kernel.inputs), *((e, True) for e in kernel.outputs)]:
            name = self._names.tensor(tensor.name)
            if name is None or tensor.dtype is None or not self.graph.types[name].dtype.is_float:
                continue
            if is_output:
                layers = list(filter(None, [self._names.maker(name)]))
            else:
                layers = [layer for layer in members if name in layer.inputs]
            if tensor.dtype in _QUANTIZED:
                continue
            asked = self.graph.types[name].dtype
            if is_output and tensor.dtype is DataType.FP32 and self._continues_fp32(name, names):
                self._casts[name].add(DataType.FP32)
            if tensor.dtype is not asked and tensor.dtype is DataType.FP32 and DataType.FP32 in self._casts[name]:
                self._uncast.update(layer.name for layer in layers)
                continue
            fact = _Fact(tensor.dtype, tensor.dtype is asked, f"{tensor.name} at {_shown(kernel)} is {tensor.dtype}")
            for layer in layers:
                # In which floats a quantised layer hands on is nobody's word: it multiplies as asked, or it does not.
                if layer.quantized is None and (layer.name in names or not fact.fits):
                    yield layer, fact

    def _continues_fp32(self, name: str, kernel: Collection[str]) -> bool:
        """Whether a tensor is computed from what the same kernel, given by its names of layers, casts from fp32.

        Where TensorRT leaves that cast out, it goes on in fp32, though not with what multiplies.
        """
        waiting, seen = [name], set[str]()
        while waiting:
            maker = self._names.maker(waiting.pop())
            if maker is None or maker.name not in kernel or maker.name in seen:
                continue
            seen.add(maker.name)
            read = [name for name in maker.inputs if name is not None]
            if maker.op.kind == "cast" and self.graph.types[read[0]].dtype is DataType.FP32:
                return True
            if maker.op.kind != "cast" and maker.op.quantized_weights is None:
                waiting += read
        return False


def _types_beside_casts(graph: Graph) -> defaultdict[str, set[DataType]]:
    """The types on the other side of the casts that make or read a tensor; of one that is only quantised, fp32.

    What is quantised is rounded by that, and need not be before.
    """
    found: defaultdict[str, set[DataType]] = defaultdict(set)
    quantized, kept = set[str](), {output.tensor for output in graph.outputs}
    for layer in graph.all_layers():
        if layer.op.kind == "cast" and layer.inputs[0] is not None:
            source, target = layer.inputs[0], layer.outputs[0]
            found[source].add(graph.types[target].dtype)
            found[target].add(graph.types[source].dtype)
        read = quantized if layer.op.kind == "quantize" else kept
        read.update(name for name in layer.inputs if name is not None)
    for name in quantized - kept:
        found[name].add(DataType.FP32)
    return found


def _hides(layer: EngineLayer) -> bool:
    """Whether the layer was made by a compiler that shows nothing of what it does."""
    return "ForeignNode[" in layer.name or layer.kind == "Myelin"


def _multiplies(layer: Layer) -> bool:
    """Whether a layer multiplies by weights, and does not only scale by them."""
    return any(weight.shape is not None and len(weight.shape) > 1 for weight in layer.weights.values())


def _shown(kernel: EngineLayer) -> str:
    return f"`{kernel.name}`" + (f" ({kernel.tactic})" if kernel.tactic else "")
