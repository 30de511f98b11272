"""Every published case: YAML, our ONNX form and ONNX Runtime give its outputs, or it is left out for a true reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.vectors import check
from tests.vectors.left_out import OPERATORS, REFUSALS
from tests.vectors.outcome import Outcome, dynamic, examine
from tests.vectors.published import Published, published
from tests.vectors.reasons import Reason
from tests.vectors.report import PAGE, measure, page
from tests.vectors.tables import MAPPERS

_TENSORRT_TYPES = ("float32", "float16", "int32", "bool", "int64", "bfloat16")
_RANDOM = {"Bernoulli", "RandomUniformLike", "Dropout"}


@pytest.mark.parametrize("name", list(published()))
def test_gives_the_published_outputs_or_is_left_out(name: str, tmp_path: Path) -> None:
    case = published()[name]
    outcome = examine(case, tmp_path)
    if outcome.left_out is None:
        _gives_the_outputs(outcome, tmp_path)
    elif outcome.network is not None and outcome.document is not None:
        with pytest.raises(AssertionError):
            check.compare_all(outcome.network, outcome.document, case)
    else:
        # What trtdsl itself refuses was tried just now; of the others the model has to show it.
        assert outcome.refusal is not None or _HOLDS[outcome.left_out.reason](case), outcome.left_out


def _gives_the_outputs(outcome: Outcome, folder: Path) -> None:
    assert outcome.document is not None
    assert outcome.network is not None
    check.compare_all(outcome.network, outcome.document, outcome.case)
    if (found := dynamic(outcome, folder)) is not None:
        document, network = found
        check.compare_all(network, document, outcome.case)


def _values(case: Published) -> list[Any]:
    return [*case.inputs.values(), *case.outputs.values()]


def _arrays(case: Published) -> list[np.ndarray[Any, Any]]:
    return [value for value in _values(case) if isinstance(value, np.ndarray)]


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for entry in node.attribute:
            if entry.HasField("g"):
                yield from _nodes(entry.g)


def _operators(case: Published) -> set[str]:
    return {node.op_type for node in _nodes(case.model.graph)}


def _is_of_types(case: Published) -> bool:
    """Types that TensorRT lacks, or numbers that the one we take instead cannot hold."""
    return any(
        array.dtype.name not in _TENSORRT_TYPES or np.abs(array.astype(np.float64)).max(initial=0) > 2**31
        for array in _arrays(case)
    )


def _is_training(case: Published) -> bool:
    attributes = {entry.name for node in _nodes(case.model.graph) for entry in node.attribute}
    return "training" in "".join(case.versions) or "training_mode" in attributes


def _has_no_layer(case: Published) -> bool:
    """What TensorRT's layer for an operator lacks: where the largest elements were, resampling of a part."""
    (node,) = case.model.graph.node
    if node.op_type == "MaxPool":
        return len(node.output) == 2
    return any(entry.s == b"tf_crop_and_resize" for entry in node.attribute)


_HOLDS: Mapping[Reason, Callable[[Published], bool]] = {
    Reason.STRINGS: lambda case: any(array.dtype.kind in "OUS" for array in _arrays(case)),
    Reason.SEQUENCES: lambda case: (
        any(value is None or isinstance(value, list) for value in _values(case))
        or any(name.startswith(("Optional", "Sequence")) for name in _operators(case))
    ),
    Reason.TYPES: _is_of_types,
    Reason.TRAINING: _is_training,
    Reason.RANDOM: lambda case: bool(_RANDOM & _operators(case)),
    Reason.EMPTY: lambda case: any(not array.size for array in _arrays(case)),
    Reason.DATA_DEPENDENT: lambda case: bool(_operators(case) & set(OPERATORS)),
    Reason.NO_LAYER: lambda case: bool(_operators(case) & set(OPERATORS)) or _has_no_layer(case),
    Reason.NOT_OFFERED: lambda case: False,
}


def test_every_operator_is_in_one_table() -> None:
    assert not set(MAPPERS) & set(OPERATORS)
    used = set().union(*(_operators(case) for case in published().values()))
    assert used - set(MAPPERS) - _TYPES_ONLY == set(OPERATORS)
    assert set(MAPPERS) <= used


# They stand beside sequences only, which the inputs already show.
_TYPES_ONLY = {"Optional", "SequenceAt", "SequenceConstruct", "SequenceLength"}


def test_the_page_is_up_to_date_and_every_refusal_is_met(tmp_path: Path) -> None:
    figures = measure(tmp_path)
    assert PAGE.read_text() == page(figures), "run python -m tests.vectors.report"
    assert figures.refusals == set(range(len(REFUSALS)))
    # Inputs that a network neither is fed nor has written down: only their type or shape matters.
    assert figures.unread == {"CastLike", "EyeLike"}
    # What networks are fed is the cases' inputs, but for what only fills or counts.
    assert figures.without_inputs <= _MADE_OF_PARAMETERS


_MADE_OF_PARAMETERS = {
    "BlackmanWindow",
    "Constant",
    "ConstantOfShape",
    "EyeLike",
    "HammingWindow",
    "HannWindow",
    "Range",
}
