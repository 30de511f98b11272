"""Each command on real input: what it prints, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.calling import run, succeed
from trtdsl.ops import CATALOGUE

NETWORK = """\
trtdsl: 1
name: small
params: {channels: 4, deep: {kernel: 3}}
dims: {N: [1, 2, 8], C: 3}
inputs:
  image: [N, $C, 8, 8]
weights: small.npz
modules:
  block:
    params: [channels, kernel]
    layers:
      - {op: conv, name: conv, out_channels: $channels, kernel_size: $kernel, padding: same}
      - relu
layers:
  - {op: block, name: first, channels: $channels, kernel: '$(deep["kernel"])'}
  - {op: block, name: second, channels: 2, kernel: 1}
outputs: {y: second}
"""
WEIGHTS = {
    "first.conv.weight": np.ones((4, 3, 3, 3), np.float32),
    "first.conv.bias": np.zeros(4, np.float32),
    "second.conv.weight": np.ones((2, 4, 1, 1), np.float32),
    "second.conv.bias": np.zeros(2, np.float32),
}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(NETWORK)
    np.savez(tmp_path / "small.npz", **WEIGHTS)  # type: ignore[arg-type]
    return path


def test_validate_says_what_the_network_is(network: Path) -> None:
    # 4 * 3 * 3 * 3 + 4 and 2 * 4 + 2 numbers.
    assert succeed("validate", network) == (
        f"{network}: 4 layers, 122 weight values; image fp32[N, 3, 8, 8] -> y fp32[N, 2, 8, 8]; "
        "N = 1..8 (opt 2), C = 3\n"
    )


def test_set_changes_params(network: Path) -> None:
    # 2 * 3 * 5 * 5 + 2 and 2 * 2 + 2 numbers.
    printed = succeed("validate", network, "--set", "channels=2", "--set", "deep.kernel=5", "--random-weights")
    assert "4 layers, 158 weight values;" in printed


SET_MISTAKES = {
    "an unknown param": ("chanels=2", 1, "did you mean `channels`?"),
    "no YAML": ("channels=[1", 1, "error["),
    "a comment": ("channels=#4", 1, "`#` begins a comment"),
    "a wrong expression": ("channels=$(chanels + 1)", 1, "--set channels:1:3: error[unknown-name]"),
    "no value": ("channels", 2, "`channels` is not NAME=VALUE"),
    "no name": ("=3", 2, "`=3` is not NAME=VALUE"),
}


@pytest.mark.parametrize("case", SET_MISTAKES)
def test_a_wrong_set(case: str, network: Path) -> None:
    text, status, message = SET_MISTAKES[case]
    result = run("validate", network, "--random-weights", "--set", text)
    assert result.exit_code == status
    assert message in result.stderr


SET_VALUES = {
    "a number with an exponent": "1e-5",
    "infinity": ".inf",
    "not a number": ".nan",
    "text": "no",
    "nothing": "",
    "a mapping": "{a: [1, 2.5, x], 18: true}",
    "a date, which is text": "2024-01-01",
}


@pytest.mark.parametrize("case", SET_VALUES)
def test_set_takes_any_yaml(case: str, tmp_path: Path) -> None:
    written, given = tmp_path / "written.yaml", tmp_path / "given.yaml"
    rest = "inputs: {x: [1]}\nlayers: [relu]"
    written.write_text(f"trtdsl: 1\nparams: {{p: {{q: {SET_VALUES[case]}}}}}\ndescription: v$(p['q'] == 1)\n{rest}")
    given.write_text(f"trtdsl: 1\nparams: {{p: {{q: 0}}}}\ndescription: v$(p['q'] == 1)\n{rest}")
    assert succeed("expand", written) == succeed("expand", given, "--set", f"p.q={SET_VALUES[case]}")


def test_the_last_set_counts(network: Path) -> None:
    options = ["--set", "channels=7", "--set", "deep={kernel: 1}", "--set", "channels=2", "--set", "deep.kernel=5"]
    assert "4 layers, 158 weight values;" in succeed("validate", network, *options, "--random-weights")


def test_dim_gives_other_sizes(network: Path) -> None:
    assert "image fp32[4, 3, 8, 8] -> y fp32[4, 2, 8, 8]; N = 4, C = 3\n" in succeed(
        "validate", network, "--dim", "N=4"
    )
    printed = succeed("expand", network, "--dim", "N=1,4,16", "--dim", "C=3")
    assert "dims: {N: [1, 4, 16], C: 3}\n" in printed


DIM_MISTAKES = {
    "an unknown one": ("M=2", 1, "`--dim M`: the network has no dimension `M`"),
    "falling": ("N=4,2,1", 1, "--dim N:1:1: error[value]: a dimension is one size, or [min, opt, max]"),
    "two": ("N=1,2", 2, "write one size, N=4, or three, N=1,8,32"),
    "no number": ("N=x", 2, "write one size, N=4, or three, N=1,8,32"),
    "no size": ("N", 2, "`N` is not NAME=SIZES"),
}


@pytest.mark.parametrize("case", DIM_MISTAKES)
def test_a_wrong_dim(case: str, network: Path) -> None:
    text, status, message = DIM_MISTAKES[case]
    result = run("validate", network, "--dim", text)
    assert result.exit_code == status
    assert message in " ".join(result.stderr.split())


def test_weights_replace_those_the_network_names(network: Path, tmp_path: Path) -> None:
    (tmp_path / "small.npz").unlink()
    assert run("validate", network).exit_code == 1
    first = {key.removeprefix("first."): array for key, array in WEIGHTS.items() if key.startswith("first.")}
    save_file(first, tmp_path / "first.safetensors")
    save_file(WEIGHTS, tmp_path / "rest.safetensors")
    succeed("validate", network, "--weights", tmp_path / "rest.safetensors")
    both = ["--weights", f"first={tmp_path / 'first.safetensors'}", "--weights", tmp_path / "rest.safetensors"]
    succeed("validate", network, *both)


def test_expand_names_the_weights_that_replace_others(network: Path, tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "other.safetensors")
    flat = tmp_path / "sub" / "flat.yaml"
    flat.parent.mkdir()
    succeed("expand", network, "--weights", tmp_path / "other.safetensors", "-o", flat)
    (tmp_path / "small.npz").unlink()
    succeed("validate", flat)


def test_unused_weights_are_listed(network: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", extra=np.ones(3), **WEIGHTS)  # type: ignore[arg-type]
    assert "unused weight" not in succeed("validate", network)
    assert succeed("validate", network, "--unused-weights").endswith(
        f"1 unused weight in {tmp_path / 'small.npz'}\n  extra\n"
    )
    assert succeed("validate", network, "--unused-weights", "--weights", tmp_path / "small.npz").endswith("  extra\n")


def test_check_finite_refuses_nan(network: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", **{**WEIGHTS, "second.conv.bias": np.array([0, np.nan], np.float32)})  # type: ignore[arg-type]
    succeed("validate", network)
    result = run("validate", network, "--check-finite")
    assert result.exit_code == 1
    assert "second.conv" in result.stderr


def test_all_mistakes_are_reported_and_counted(network: Path) -> None:
    network.write_text(NETWORK.replace("op: conv,", "op: cnov,").replace("op: block, name: second", "op: blok"))
    result = run("validate", network)
    assert result.exit_code == 1
    assert "did you mean `conv`?" in result.stderr
    assert "did you mean `block`?" in result.stderr
    assert result.stderr.endswith("2 errors\n")


def test_warnings_are_printed_and_do_no_harm(network: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", **{**WEIGHTS, "second.conv.bias": np.full(2, 1e6, np.float32)})  # type: ignore[arg-type]
    result = run("validate", network, "--precision", "fp16")
    assert result.exit_code == 0
    assert "warning[" in result.stderr


@pytest.mark.parametrize("place", ["", "elsewhere"])
def test_expand_writes_a_network_that_is_the_same(network: Path, tmp_path: Path, place: str) -> None:
    output = tmp_path / place / "flat.yaml"
    output.parent.mkdir(exist_ok=True)
    assert succeed("expand", network, "-o", output) == ""
    summary = succeed("validate", output).partition(": ")[2]
    assert summary == succeed("validate", network).partition(": ")[2]
    assert succeed("explain", output).count("add_convolution_nd") == 2


def test_expand_prints(network: Path) -> None:
    printed = succeed("expand", network)
    assert printed.startswith("trtdsl: 1\n")
    assert "first.conv" in printed
    assert "$" not in printed


def test_expand_needs_no_weights(network: Path, tmp_path: Path) -> None:
    printed = succeed("expand", network)
    (tmp_path / "small.npz").unlink()
    assert succeed("expand", network) == printed


def test_explain_makes_weights_up_where_none_are_named(network: Path, tmp_path: Path) -> None:
    printed = succeed("explain", network)
    (tmp_path / "small.npz").unlink()
    missing = run("explain", network)
    assert missing.exit_code == 1
    assert "small.npz" in missing.stderr
    unnamed = "".join(line for line in NETWORK.splitlines(keepends=True) if not line.startswith("weights:"))
    network.write_text(unnamed)
    places = re.compile(r"small\.yaml:\d+")
    assert places.sub("", succeed("explain", network)) == places.sub("", printed)


def test_a_file_that_cannot_be_written(network: Path, tmp_path: Path) -> None:
    result = run("expand", network, "-o", network / "inside-a-file.yaml")
    assert result.exit_code == 1
    assert "error[file]: cannot write" in result.stderr


def test_expand_writes_over_no_network_that_it_reads(network: Path) -> None:
    before = network.read_text()
    result = run("expand", network, "-o", network.parent / "." / network.name)
    assert result.exit_code == 2
    assert "would be read and then written over" in result.stderr
    assert network.read_text() == before


def test_expand_writes_to_devices(network: Path) -> None:
    before = Path(os.devnull).stat()
    assert succeed("expand", network, "-o", os.devnull) == ""
    assert Path(os.devnull).stat().st_rdev == before.st_rdev


def test_explain_prints_the_calls_of_each_layer_with_its_place(network: Path) -> None:
    lines = succeed("explain", network).splitlines()
    at = lines.index(f"# first.conv: conv, fp32, {network}:12")
    assert "network.add_convolution_nd(" in lines[at + 1]
    assert f"# second.relu: relu, fp32, {network}:13" in lines
    assert sum("add_activation" in line for line in lines) == 2


def test_explain_shows_casts_and_filters(network: Path) -> None:
    printed = succeed("explain", network, "--precision", "fp16", "--layer", "image/*")
    assert printed.count("# ") == 1
    assert "add_cast(image, trt.DataType.HALF)" in printed


def test_ops_lists_every_op_by_its_first_line() -> None:
    printed = succeed("ops")
    for op in set(CATALOGUE.values()):
        assert f"  {op.kind} " in printed
        assert (op.__doc__ or "").partition("\n")[0] in printed


@pytest.mark.parametrize("name", CATALOGUE)
def test_ops_explains_each_op(name: str) -> None:
    op = CATALOGUE[name]
    printed = succeed("ops", name)
    assert printed.startswith(op.kind)
    told = {declared.name: declared.help for declared in (*op.attributes.values(), *op.weight_parameters.values())}
    for key, help in (op.structure or told).items():
        assert f"  {key} " in printed
        assert help in printed
    assert f"- {op.example}" in printed


def test_ops_says_how_a_parameter_is_written() -> None:
    lines = [line.strip() for line in succeed("ops", "conv").splitlines()]
    assert lines[lines.index("out_channels  channels of the output") + 1] == "integer, at least 1; required"
    assert any(line.endswith("; default 1") for line in lines)
    assert any("`bias: false` leaves it out" in line for line in lines)


def test_ops_as_json() -> None:
    listed = json.loads(succeed("ops", "--json"))
    assert set(listed) == {op.kind for op in CATALOGUE.values()}
    conv = json.loads(succeed("ops", "conv", "--json"))["conv"]
    assert conv["parameters"]["groups"] == {
        "help": "groups of channels that are convolved apart",
        "type": "integer, at least 1",
        "schema": {"type": "integer", "minimum": 1},
        "required": False,
        "default": 1,
    }
    assert conv["weights"]["bias"]["optional"] is True


def test_an_unknown_op_is_corrected() -> None:
    result = run("ops", "batch_nrom")
    assert result.exit_code == 1
    assert "did you mean `batch_norm`?" in result.stderr


def test_schema_is_printed_or_written(tmp_path: Path) -> None:
    printed = json.loads(succeed("schema"))
    assert printed["$schema"].startswith("https://json-schema.org/")
    succeed("schema", "-o", tmp_path / "schema.json")
    assert json.loads((tmp_path / "schema.json").read_text()) == printed


def test_weights_lists_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros((2, 3), np.float16), bias=np.zeros(1000, np.int64))
    assert succeed("weights", tmp_path / "w.npz") == (
        "a     fp16   [2, 3]    12 B\n"
        "bias  int64  [1000]  8.0 kB\n"
        "2 arrays, 1,006 elements, 8.0 kB\n"
    )  # fmt: skip
    assert succeed("weights", tmp_path / "w.npz", "--key", "b*").splitlines()[-1] == "1 array, 1,000 elements, 8.0 kB"
    assert json.loads(succeed("weights", tmp_path / "w.npz", "--key", "a", "--json")) == {
        "a": {"dtype": "fp16", "shape": [2, 3], "count": 6, "bytes": 12}
    }


def test_weights_without_shapes(tmp_path: Path) -> None:
    (tmp_path / "w.wts").write_text("1\nconv.weight 2 3f800000 40000000\n")
    assert "conv.weight  fp32  2 elements  8 B" in succeed("weights", tmp_path / "w.wts")


def test_build_reuse_and_info(network: Path, tmp_path: Path) -> None:
    engine = tmp_path / "out" / "small.engine"
    built = run("build", network, "-o", engine, "--runtime", "rtx", "--set", "channels=4", "--option", "tf32=false")
    assert built.exit_code == 0, built.stderr
    assert built.stdout.startswith(f"built {engine} (")
    assert "Building engine" in built.stderr
    assert engine.exists()
    again = run("build", network, "-o", engine, "--runtime", "rtx", "--option", "tf32=false")
    assert again.stdout.endswith("is up to date\n")
    assert succeed(
        "build", network, "-o", engine, "--runtime", "rtx", "--option", "tf32=false", "--no-cache"
    ).startswith("built")

    shown = succeed("info", engine)
    for line in (
        "network    small",
        "input      image fp32[N, 3, 8, 8]",
        "output     y fp32[N, 2, 8, 8]",
        "weights    small.npz, 4 used",
        "precision  fp32 in 4 layers, as asked for",
        "option     tf32: false",
    ):
        assert line in shown.splitlines()
    assert json.loads(succeed("info", engine, "--json"))["name"] == "small"

    engine.write_bytes(b"something else")
    changed = run("info", engine)
    assert changed.exit_code == 1
    assert "error[engine-differs]" in changed.stderr


def test_build_writes_beside_the_network(network: Path) -> None:
    succeed("build", network, "--runtime", "rtx")
    assert network.with_suffix(".engine").exists()
    assert network.with_suffix(".engine.json").exists()


BUILD_MISTAKES = {
    "an unknown option": (["--option", "worksapce=1"], "did you mean `workspace`?"),
    "a wrong value": (["--option", "optimization_level=9"], "expected integer from 0 to 5"),
    "no capability": (["--target", "fast"], "a compute capability such as 8.9"),
}


@pytest.mark.parametrize("case", BUILD_MISTAKES)
def test_wrong_build_options(case: str, network: Path) -> None:
    arguments, message = BUILD_MISTAKES[case]
    result = run("build", network, *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not network.with_suffix(".engine").exists()
