"""Files of scales: trtdsl's own there and back, TensorRT's calibration caches, tables; and what is wrong with some."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from trtdsl.errors import Diagnostics
from trtdsl.quantization.scales import ScalesText, ScaleTable, read_scales
from trtdsl.source import SourceFile


def read(text: str) -> tuple[ScaleTable | None, Diagnostics]:
    diagnostics = Diagnostics()
    return read_scales(SourceFile("net.scales", text), diagnostics), diagnostics


def values(table: ScaleTable | None) -> dict[str, float]:
    assert table is not None
    return {name: scale.value for name, scale in table.scales.items()}


def test_own_files_there_and_back() -> None:
    scales = {
        "image": float(np.float32(0.1)),
        "layer1.0.relu": 1e-05,
        "split:0": 123456.0,
        "fc": 0.123456789,
        "no": 2.0,
        "1": 3.0,
    }
    text = str(ScalesText("a: net", "0123", {"method": "entropy", "files": 3}, scales, ("Reviewed.",)))
    table, diagnostics = read(text)
    assert values(table) == {name: pytest.approx(value, rel=1e-7) for name, value in scales.items()}
    assert table is not None
    assert (table.wiring, table.is_foreign, diagnostics.errors) == ("0123", False, ())
    assert text.startswith("# Reviewed.\ntrtdsl-scales: 1\n")


def test_the_place_of_a_scale() -> None:
    table, _ = read("trtdsl-scales: 1\nscales:\n  a: 0.5\n  b: 0.25\n")
    assert table is not None
    assert [(scale.span.line, scale.span.column) for scale in table.scales.values()] == [(3, 6), (4, 6)]


def test_a_calibration_cache() -> None:
    # As TensorRT's sample of int8 prints it: 3c000889 are the bits of 0.00781453, big-endian.
    lines = ["TRT-8601-EntropyCalibration2", "data: 3c000889", "(Unnamed Layer* 3) [Constant]_output: 3f800000", ""]
    table, diagnostics = read("\n".join(lines))
    expected = struct.unpack(">f", bytes.fromhex("3c000889"))[0]
    assert values(table) == {"data": expected, "(Unnamed Layer* 3) [Constant]_output": 1.0}
    assert expected == pytest.approx(0.0078145, rel=1e-4)
    assert table is not None
    assert (table.is_foreign, diagnostics.errors) == (True, ())


@pytest.mark.parametrize(
    "first", ["TRT-7103-EntropyCalibration", "TRT-100300-MinMaxCalibration", "TRT-8501-LegacyCalibration"]
)
def test_caches_of_other_calibrators(first: str) -> None:
    assert values(read(f"{first}\r\na: 40000000\r\n")[0]) == {"a": 2.0}


def test_a_table_of_int8() -> None:
    assert values(read("data 0.007874 0\nconv 1 2.5e-2 0\n\n")[0]) == {"data": 0.007874, "conv 1": 0.025}


def test_a_table_of_uint8_reaches_both_ends() -> None:
    # 0.01 per step with zero at 128: -1.28 to 1.27; at 0: 0 to 2.55. int8 has 127 steps.
    table = read("a 0.01 128\nb 0.01 0\n")[0]
    assert values(table) == {"a": pytest.approx(1.28 / 127), "b": pytest.approx(2.55 / 127)}


def test_an_own_file_may_be_json() -> None:
    assert values(read('{"trtdsl-scales": 1, "scales": {"a": 0.25}}\n')[0]) == {"a": 0.25}


WRONG = {
    "another version": ("trtdsl-scales: 2\nscales: {a: 1}\n", "scale-file", 1, "the file is of another version than 1"),
    "no mapping": ("'trtdsl-scales': 1\nscales: 3\n", "scale-file", 2, "the file has no `scales: {name: number}`"),
    "no scales": ("trtdsl-scales: 1\n", "scale-file", 1, "the file has no `scales: {name: number}`"),
    "a truth": ("trtdsl-scales: 1\nscales: {a: true}\n", "scale-value", 2, "the scale of a is true, not a number"),
    "too small": ("trtdsl-scales: 1\nscales: {a: 1e-20}\n", "scale-value", 2, "which is less than any tensor wants"),
    "a cache with a zero": ("TRT-8601-EntropyCalibration2\na: 00000000\n", "scale-value", 2, "and scales are positive"),
    "a cache with NaN": ("TRT-8601-EntropyCalibration2\na: 7fc00000\n", "scale-value", 2, "which is no number"),
    "a cache cut off": ("TRT-8601-EntropyCalibration2\na: 3c01\n", "scale-file", 2, "is not `name: 3c010a14`"),
    "a table with a zero": ("a 0.000000 0\n", "scale-value", 1, "and scales are positive"),
    "no table": ("a 0.1 0\nb x 0\n", "scale-file", 2, "is no row of a table of scales"),
    "a cache that says a tensor twice": (
        "TRT-8601-EntropyCalibration2\na: 3c010a14\na: 3c010a15\n",
        "scale-file",
        3,
        "the scale of a is given twice",
    ),
    "a table that says a tensor twice": ("a 0.1 0\na 0.2 0\n", "scale-file", 2, "the scale of a is given twice"),
    "a zero point that uint8 has not": ("a 0.1 0\nb 0.1 256\n", "scale-file", 2, "up to 255, not 256"),
    "a zero point below 0": ("a 0.1 -5\n", "scale-file", 1, "up to 255, not -5"),
    "a zero point of many digits": (f"a 0.1 {'9' * 5000}\n", "scale-file", 1, "is no row of a table of scales"),
    "empty": ("", "scale-file", 1, "the file holds no scales"),
    "an empty cache": ("TRT-8601-EntropyCalibration2\n", "scale-file", 1, "the file holds no scales"),
    "no scales in a mapping": ("trtdsl-scales: 1\nscales: {}\n", "scale-file", 2, "the file holds no scales"),
    "something else": ("<html>\n", "scale-file", 1, "`<html>` is no row of a table of scales"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(case: str) -> None:
    text, code, line, message = WRONG[case]
    [error] = read(text)[1].errors
    assert error.span is not None
    assert (error.code, error.span.line) == (code, line)
    assert message in error.message
