"""What has to hold of sizes while a network is built and run."""

from __future__ import annotations

from typing import Any

from trtdsl.ops.attributes import DimList, Maybe, Text
from trtdsl.ops.base import ANY, Net, Op, OpError, Policy, attribute, tensor
from trtdsl.types import DataType, TensorType, format_shape


class Assert(Op):
    """Hands its input on, and stops the build or the run where sizes are not as they should be.

    What should hold is that all sizes of `equal` are the same (`equal: [$(H % 32), 0]`), or a second input: booleans
    that are computed from `shape` or `size`. TensorRT asserts nothing of data.
    """

    kind = "assert"
    policy = Policy.TRANSPARENT
    example = '{op: assert, equal: [H, W], message: "images are square"}'
    example_inputs = "{x: [1, 8, H, W]}"
    no_onnx = "ONNX has no operator that stops a run"
    x = tensor(ANY)
    condition = tensor(frozenset({DataType.BOOL}), optional=True, help="what has to be true, unless `equal` says it")
    equal = attribute(Maybe(DimList(minimum=0)), default=None, help="sizes that have to be the same")
    message = attribute(Text(), help="what is said where it does not hold")

    def infer(self, x: TensorType, condition: TensorType | None = None) -> TensorType:
        if (condition is None) == (self.equal is None):
            found = "neither" if condition is None else "both"
            raise OpError(f"assert takes `equal` or a second input, it has {found}", at="equal" if condition else "in")
        if self.equal is not None:
            self._check(self.equal)
        return x

    def _check(self, sizes: tuple[Any, ...]) -> None:
        if len(sizes) < 2:
            raise OpError("one size alone equals whatever it is", at="equal")
        opt = {size.sizes.opt for size in sizes}
        if len(opt) > 1:
            raise OpError(f"{self.message}: the sizes {format_shape(sizes)} are {sorted(opt)} at opt", at="equal")

    def to_tensorrt(self, net: Net, x: Any, condition: Any = None) -> Any:
        if self.equal is None and (name := net.data_behind(1)):
            raise OpError(
                f"the condition is computed from what {name} holds, TensorRT asserts only what follows from sizes",
                at="in",
                hint="`shape` and `size` give sizes",
            )
        if self.equal is not None:
            first, *others = self.equal
            same = net.shape_tensor((first,) * len(others))
            condition = net.elementwise("EQUAL", same, net.shape_tensor(tuple(others)))
        net.add_assertion(condition, self.message)
        return net.add_identity(x)
