"""Running an engine once, against stand-ins for CUDA and TensorRT whose device memory is the host's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.runtime.standin import Cuda, Driver, Plan, runtime_for
from trtdsl.engine import execution
from trtdsl.errors import RunError
from trtdsl.runtime.device import Device

X = np.array([-1.5, 2, 0.5], np.float32)
SHAPE = np.array([3, 5], np.int32)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    monkeypatch.setattr(Device, "open", classmethod(lambda cls, index=0: cls(index, made, Driver())))
    return made


def run(plan: Plan, inputs: dict[str, Any]) -> dict[str, Any]:
    return execution.run(runtime_for(plan).module, plan, inputs)


def test_outputs_of_every_kind(cuda: Cuda) -> None:
    outputs = run(Plan(cuda, has_host=True, has_positive=True), {"x": X, "shape": SHAPE})
    np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])
    np.testing.assert_array_equal(outputs["positive"], [2, 0.5])
    np.testing.assert_array_equal(outputs["count"], [3, 5])
    assert {name: array.dtype.name for name, array in outputs.items()} == {
        "twice": "float32",
        "positive": "float32",
        "count": "int32",
    }
    assert cuda.is_all_given_back


def test_an_output_may_be_empty(cuda: Cuda) -> None:
    assert run(Plan(cuda, has_positive=True), {"x": -np.abs(X)})["positive"].shape == (0,)


def test_wrong_inputs(cuda: Cuda) -> None:
    with pytest.raises(RunError) as error:
        run(Plan(cuda, has_host=True), {"x": X, "shap": SHAPE})
    found = [(entry.code, entry.message, entry.hint) for entry in error.value.diagnostics]
    assert found == [
        ("input-value", "the engine has no input `shap`", "did you mean `shape`?"),
        ("input-value", "the engine also takes shape", None),
    ]
    assert cuda.is_all_given_back


def test_no_memory(cuda: Cuda) -> None:
    cuda.limit = 8
    with pytest.raises(RunError, match="CUDA: out of memory"):
        run(Plan(cuda), {"x": X})
    assert cuda.is_all_given_back


def test_a_prepared_run_is_repeated(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(cuda, has_host=True, has_positive=True)
    with execution.prepared(runtime_for(plan).module, plan, {"x": X, "shape": SHAPE}) as prepared:
        assert list(prepared.takers) == ["twice", "positive", "count"]
        assert prepared.stream in cuda.streams
        assert prepared.context.get_tensor_shape("twice") == (3,)
        copied = cuda.cudaMemcpyAsync
        monkeypatch.setattr(cuda, "cudaMemcpyAsync", None)
        for _ in range(2):
            prepared.enqueue()  # the engine alone
        monkeypatch.setattr(cuda, "cudaMemcpyAsync", copied)
        outputs = prepared.outputs()
        np.testing.assert_array_equal(outputs["twice"], [-3, 4, 1])
        np.testing.assert_array_equal(outputs["positive"], [2, 0.5])
        np.testing.assert_array_equal(outputs["count"], SHAPE)
    assert cuda.is_all_given_back


@pytest.mark.parametrize(("name", "held"), [("x", "float32"), ("shape", "int32")])
def test_what_holds_an_element(name: str, held: str, cuda: Cuda) -> None:
    assert execution.storage(Plan(cuda, has_host=True), name) == held


def test_without_a_log_the_error_says_what_failed(cuda: Cuda) -> None:
    with pytest.raises(RunError, match=r"no context to run in$"):
        run(Plan(cuda, has_context=False), {"x": X})


def test_an_engine_that_fails(cuda: Cuda) -> None:
    with pytest.raises(RunError, match="the engine did not run"):
        run(Plan(cuda, works=False), {"x": X})
    assert cuda.is_all_given_back
