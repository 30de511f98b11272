"""Locked builds on a GPU: they come to the same kernels as before, and fail where they would not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trtdsl
from trtdsl.errors import BuildError

NETWORKS = Path(__file__).parents[2] / "networks"


def load(name: str, **given: Any) -> trtdsl.Network:
    return trtdsl.load(NETWORKS / f"{name}.yaml", random_weights=name != "digits", precision="fp16", **given)


def build(network: trtdsl.Network, gpu: Any, engine: Path, **arguments: Any) -> Any:
    return network.build(engine, runtime="tensorrt", options=gpu.options, **arguments)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "digits": ("digits", {}),
    "resnet18": ("resnet", {"dims": {"N": 1}}),
    "mobilenet_v2": ("mobilenet_v2", {"dims": {"N": 1}}),
}


@pytest.mark.parametrize(("name", "given"), CASES.values(), ids=CASES)
def test_the_lock_gives_the_same_kernels(name: str, given: dict[str, Any], gpu: Any, tmp_path: Path) -> None:
    network, engine = load(name, **given), tmp_path / "net.engine"
    first = build(network, gpu, engine, cache=False)
    kept = first.manifest["timing_cache"]
    assert engine.with_name("net.engine.tactics").stat().st_size == kept["bytes"]
    assert first.manifest["tactics"]
    # The lock and the timing cache are all that is kept, as in a repository.
    engine.unlink()
    again = build(network, gpu, engine, locked=True)
    assert not again.reused
    assert again.manifest["tactics"] == first.manifest["tactics"]
    free = build(network, gpu, tmp_path / "free.engine", cache=False).manifest["tactics"]
    others = sum(free.get(layer) != tactic for layer, tactic in first.manifest["tactics"].items())
    gpu.note(f"locked {name:20} {len(first.manifest['tactics'])} tactics the same; measured anew, {others} differ")


@pytest.mark.parametrize(
    ("name", "given"),
    [("vit", {"parameters": {"size": "tiny"}, "dims": {"N": 1}}), ("gpt2", {"parameters": {"depth": 1}})],
    ids=["vit", "gpt2"],
)
def test_networks_of_myelin_nodes(name: str, given: dict[str, Any], gpu: Any, tmp_path: Path) -> None:
    """Of what is inside of them nothing is known; the kernels around them are the same, or the build is refused."""
    network, engine = load(name, **given), tmp_path / "net.engine"
    first = build(network, gpu, engine, cache=False)
    engine.unlink()
    try:
        again = build(network, gpu, engine, locked=True)
    except BuildError as error:
        refused = error.diagnostics
    else:
        refused = ()
        assert again.manifest["tactics"] == first.manifest["tactics"]
    gpu.note(f"locked {name:20} " + ("the same" if not refused else f"refused: {refused[0].message[:200]}"))
    assert {diagnostic.code for diagnostic in refused} <= {"locked"}


def test_another_tactic_or_weight_is_refused_and_nothing_written(gpu: Any, tmp_path: Path) -> None:
    network, engine = load("digits"), tmp_path / "net.engine"
    build(network, gpu, engine, cache=False)
    lock = engine.with_name("net.engine.json")
    kept = json.loads(lock.read_text())
    layer = next(name for name in kept["tactics"] if "conv1" in name)
    lock.write_text(json.dumps({**kept, "tactics": {**kept["tactics"], layer: "another kernel"}}))
    engine.unlink()
    before = lock.read_bytes()
    with pytest.raises(BuildError, match="tactic of") as error:
        build(network, gpu, engine, locked=True)
    assert layer in str(error.value)
    assert not engine.exists()
    assert lock.read_bytes() == before
    other = trtdsl.load(NETWORKS / "digits.yaml", random_weights=True, weights=[], precision="fp16")
    with pytest.raises(BuildError, match="weights"):
        build(other, gpu, engine, locked=True)
