"""The page that says what Tengine's operations are called here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ops.harness import cases
from trtdsl.ops import CATALOGUE

PAGE = Path(__file__).parents[2] / "docs" / "tengine.md"
ROWS = [line.split("|")[1:3] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
NAMES = [name for _, here in ROWS for name in re.findall(r"`(\w+)`", here)]
# From the list of operations in its source, device/tensorrt/trt_limit.hpp, and the files of device/tensorrt/op.
OFFERED = """
absval addn batchnorm clip concat const convolution crop deconvolution dropout eltwise fc flatten hardswish instancenorm
interp mish pad permute pooling reduction relu relu1 relu6 reshape resize shape slice softmax split squeeze tanh
transpose upsample
"""


def test_the_page_has_every_operation() -> None:
    listed = {name for theirs, _ in ROWS for name in re.findall(r"\w+", theirs)}
    assert listed == set(OFFERED.split())


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_an_op_with_a_case(name: str) -> None:
    assert any(CATALOGUE[case.layer["op"]] is CATALOGUE[name] for case in cases())
