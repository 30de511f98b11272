"""The bundled library in the registries of real TensorRTs, which need no GPU for that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.library.conftest import HEADERS, VERSIONS
from tests.plugins.real import ECHO, cxx_for, environment_of, libraries_of, run_python
from trtdsl.plugins.bundled import bundled_plugins

HERE = Path(__file__).parent
REGISTRIES = {"8.6": (8, 6), "10.15": (10, 15)}
Compiled = Callable[[tuple[int, int]], Path]

REFUSED = {
    "missing": "ReflectPad: paddings is missing",
    "unknown": "ReflectPad: there is no field padding",
    "twice": "LeakyReLU: negSlope is given twice",
    "another type": "ReflectPad: paddings has another type than int32",
    "wider type": "LeakyReLU: negSlope has another type than fp32",
    "too short": "ReflectPad: paddings has 3 elements instead of 4",
    "too long": "LeakyReLU: negSlope has 2 elements instead of 1",
    "below its range": "ReflectPad: paddings is out of range: -4",
    "no choice": "ReflectPad: mode is out of range: 2",
    "not a number": "InstanceNorm: epsilon is out of range: nan",
    "no boolean": "Upsample: alignCorners is out of range: 2",
}

AXES = "ReflectPad does not take inputs of this number of axes;"
DAMAGED = "what the engine holds of the plugin is damaged;"
TOO_SMALL = "ReflectPad: reflection takes fewer rows on each side than the input has;"
DRIVEN = {
    "padded": ("[2, 3, 17, 23]", ""),
    "padded rows": ("refused", AXES),
    "upsampled": ("[1, 2, 7, 10]", ""),
    "a number": ("[]", ""),
    "two inputs": ("refused", "Mish takes another number of inputs than 2;"),
    "without an option": ("[2, 3, 10, 20]", ""),
    "with an option": ("[2, 3, 10, 20]", ""),
    "fp16 two inputs": ("yes", ""),
    "fp16 one input": ("yes", ""),
    "hwc8": ("yes", ""),
    "hwc8 in rows": ("no", ""),
    "hwc8 of 3 channels": ("no", ""),
    "two types": ("no", ""),
    "two layouts": ("no", ""),
    "three inputs": ("no", ""),
    "configured": ("0", ""),
    "clone is stored alike": ("yes", ""),
    "restored is stored alike": ("yes", ""),
    "another plugin's bytes": (
        "refused",
        "InstanceNorm: the engine was built with other fields than this library knows;",
    ),
    "too long": ("refused", f"InstanceNormPad: {DAMAGED}"),
    "wrong shape enqueued": (
        "-1",
        "InstanceNormPad: the residual's height and width are those of x and residualPaddings together;",
    ),
    "enqueued what is too small": ("-1", TOO_SMALL),
}
"""What driver.cpp finds of V2 and V3 plugins alike, and what is logged."""
OF_V2 = {
    # configurePlugin gives nothing back, and initialize knows no shapes.
    "too small": ("0", TOO_SMALL),
    "too small at the end": ("0", ""),
    "prepared for what is too small": ("0", ""),
}
OF_V3 = {
    "too small": ("-1", TOO_SMALL),
    "too small at the end": ("0", f"warning: {TOO_SMALL}"),
    "prepared for what is too small": ("-1", TOO_SMALL),
}


@dataclass(frozen=True)
class Answer:
    """What registered.py found, and what it wrote to stderr."""

    kinds: tuple[str, ...]
    found: dict[str, Any]
    said: list[str]


@pytest.fixture(scope="module", params=REGISTRIES)
def answer(request: pytest.FixtureRequest, compiled: Compiled, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    environment = environment_of(request.param)
    library = compiled(REGISTRIES[request.param])
    copy = shutil.copy(library, tmp_path_factory.mktemp("copy") / "libcopy.so")
    command = [sys.executable, str(HERE / "registered.py"), str(library), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    kinds = ("1",) if request.param == "8.6" else ("1", "2")
    return Answer(kinds, json.loads(done.stdout), done.stderr.splitlines())


def test_all_plugins_are_registered(answer: Answer) -> None:
    assert answer.found["creators"] == sorted([name, kind] for name in bundled_plugins() for kind in answer.kinds)
    names = {"fp32": "FLOAT32", "int32": "INT32", "bool": "INT32"}
    for name, declared in bundled_plugins().items():
        fields = [[field.name, names[str(field.type)]] for field in declared.fields]
        assert all(answer.found["fields"][f"{name} {kind}"] == fields for kind in answer.kinds)


def test_loading_it_again_is_harmless_and_quiet(answer: Answer) -> None:
    assert answer.found["creators when loaded again"] == len(answer.found["creators"])
    assert answer.found["said of loading"] == []
    assert answer.said[0].startswith(tuple(answer.found["made"]))


def test_fields_are_taken_or_refused_with_a_word(answer: Answer) -> None:
    for kind in answer.kinds:
        for name in ("right", "defaults", "arrays"):
            assert answer.found["made"][f"{name} {kind}"]
            assert f"{name} {kind}: " in answer.said
        for name, words in REFUSED.items():
            assert not answer.found["made"][f"{name} {kind}"]
            assert f"{name} {kind}: {words}" in answer.said


@pytest.mark.parametrize("version", REGISTRIES)
def test_what_tensorrt_does_with_plugins(version: str, compiled: Compiled, tmp_path: Path) -> None:
    libraries = libraries_of(version)
    driver, library = driver_for(REGISTRIES[version], tmp_path), compiled(REGISTRIES[version])
    tensorrt = next(path for path in sorted(libraries.glob("libnvinfer.so.*")))
    done = subprocess.run(
        [driver, tensorrt, library], capture_output=True, text=True, env=environment_of(version), check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    found = {what: (result, said) for what, result, said in lines}
    assert len(found) == len(lines)
    expected = {f"{what} 1": value for what, value in {**DRIVEN, **OF_V2}.items()}
    if version != "8.6":
        expected |= {f"{what} 2": value for what, value in {**DRIVEN, **OF_V3}.items()}
    expected |= {"registered without TensorRT": ("no", ""), "registered with TensorRT": ("yes", "")}
    # Where there is a GPU, fields get onto it.
    uploads = [found.pop(what) for what in list(found) if what.startswith("uploaded ")]
    assert found == expected
    for result, said in uploads:
        assert (result, said) == ("0", "") or (result == "-1" and "its fields do not get onto the device" in said)


def test_a_library_for_another_tensorrt_registers_nothing(compiled: Compiled) -> None:
    program = """
import ctypes, os, sys
import tensorrt_bindings as trt
names = [name for name in os.listdir(os.environ["LD_LIBRARY_PATH"]) if name.startswith("libnvinfer.so")]
ctypes.CDLL(names[0], ctypes.RTLD_GLOBAL)
for library in sys.argv[1:]:
    loaded = ctypes.CDLL(library)
    print(loaded.initTrtdslPlugins() & 255, sum(one.plugin_namespace == "trtdsl" for one in creators()))
"""
    creators = "def creators():\n    return trt.get_plugin_registry().{}\n"
    for version, others, creator_list in (
        ("8.6", ((10, 15), (11, 1)), "plugin_creator_list"),
        ("10.15", ((8, 6), (11, 1)), "all_creators"),
    ):
        said = run_python(version, creators.format(creator_list) + program, *map(compiled, others))
        assert said.splitlines() == ["0 0", "0 0"]


def driver_for(version: tuple[int, int], folder: Path) -> Path:
    headers = ["-isystem", str(HEADERS[version]), "-I", str(ECHO / "cuda")]
    command = [
        cxx_for("driver.cpp"),
        "-std=c++17",
        *headers,
        "-Wno-deprecated-declarations",
        str(HERE / "driver.cpp"),
        "-ldl",
    ]
    done = subprocess.run([*command, "-o", folder / "driver"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "driver"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: ".".join(map(str, version)))
def test_it_shows_and_wants_nothing_but_what_it_has_to(version: tuple[int, int], compiled: Compiled) -> None:
    library = compiled(version)
    creators = "getPluginCreators" if version < (10,) else "getCreators"
    assert exported(library) == {creators, "setLoggerFinder", "initTrtdslPlugins"}
    wanted = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in wanted.splitlines() if "NEEDED" in line]
    ours = ("libc.so", "libm.so", "libdl.so", "librt.so", "libpthread.so", "libstdc++.so", "libgcc_s.so", "ld-linux")
    assert all(name.startswith(ours) for name in needed), needed
    assert "NODELETE" in wanted


def test_the_kernels_are_a_library_of_their_own(kernels: Path) -> None:
    functions = ("launch", "workspace_size", "check")
    folders = [declared.folder for declared in bundled_plugins().values()]
    assert exported(kernels) == {f"trtdsl_{folder}_{function}" for folder in folders for function in functions}


def exported(library: Path) -> set[str]:
    shown = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return {line.split()[2] for line in shown.splitlines()}
