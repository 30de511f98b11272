"""The bundle holds the cases, and networks of many cases give the outputs of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trtdsl
from tests.vectors import check
from tests.vectors.bundle import ARRAYS, Bundle, sort_rows, write
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.reference import run_model

_PER_NETWORK = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    write(folder)
    return folder


def test_is_small_enough_to_carry(folder: Path) -> None:
    assert (folder / ARRAYS).stat().st_size < 40e6


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_networks_of_many_cases_give_the_outputs_of_each(
    folder: Path, precision: str, dynamic: bool, tmp_path: Path
) -> None:
    bundle = Bundle(folder)
    chosen = [case for case in bundle.cases if case.precision == precision and (case.dims or not dynamic)]
    # A few of each kind: what is in question is how they go together.
    chosen = chosen[:: max(len(chosen) // _PER_NETWORK, 1)][:_PER_NETWORK]
    assert len(chosen) > _PER_NETWORK // 2
    network = trtdsl.load(bundle.write(chosen, tmp_path, dynamic=dynamic))
    outputs = run_model(to_onnx(network.typed).proto().SerializeToString(), bundle.feeds(chosen))
    for case in chosen:
        for name, expected in bundle.expected(case).items():
            pair = outputs[name], expected
            check.compare(*(map(sort_rows, pair) if case.is_unordered else pair), 1e-2, 1e-2)


def test_names_are_those_of_one_case_each(folder: Path) -> None:
    bundle = Bundle(folder)
    prefixes = {re.match(r"c\d+_", layer["name"]).group() for case in bundle.cases for layer in case.layers[:1]}
    assert len(prefixes) == len(bundle.cases)
