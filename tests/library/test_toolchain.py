"""Where compilers are looked for, and what is said where there are none."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

import trtdsl.library.toolchain as module
from trtdsl.errors import BuildError
from trtdsl.library.build import LibrarySources, compile_library
from trtdsl.library.toolchain import Toolchain, find_cxx, find_toolchain

COMPILER = Toolchain(Path("nvcc"), "13.0", Path("/cuda"), (75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121))
NVCC = """\
#!/bin/sh
case $1 in
--version) echo "Cuda compilation tools, release {version}, V{version}.88" ;;
--list-gpu-arch) printf 'compute_75\\ncompute_90\\ncompute_120\\n' ;;
esac
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without compilers, but for what is put into the folder."""
    for variable in ("CUDACXX", "CUDA_HOME", "CUDA_PATH", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "_TOOLKIT", tmp_path / "toolkit")
    monkeypatch.setattr(module, "sys", SimpleNamespace(path=[str(tmp_path / "packages")]))
    monkeypatch.setattr(module, "sysconfig", SimpleNamespace(get_path=lambda _: str(tmp_path / "scripts")))
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ((), "75-real;80-real;86-real;89-real;90-real;100-real;120-real;120-virtual"),
        ((90, 75), "75-real;90-real;90-virtual"),
    ],
    ids=["all", "some"],
)
def test_architectures(wanted: tuple[int, ...], expected: str) -> None:
    assert COMPILER.architectures(wanted) == expected


def test_an_architecture_that_the_compiler_does_not_know() -> None:
    with pytest.raises(BuildError, match=r"nvcc 13\.0 does not compile for 70, but for 75, "):
        COMPILER.architectures((70,))


def test_compilers_in_the_order_in_which_they_are_looked_for(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "12.5": nothing / "toolkit" / "bin" / "nvcc",
        "12.6": nothing / "bin" / "nvcc",
        "12.9": nothing / "packages" / "nvidia" / "cu12" / "bin" / "nvcc",
        "13.1": nothing / "packages" / "nvidia" / "cu13" / "bin" / "nvcc",
        "13.2": nothing / "path" / "bin" / "nvcc",
        "13.3": nothing / "home" / "bin" / "nvcc",
        "13.4": nothing / "mine" / "nvcc",
    }
    monkeypatch.setenv("CUDACXX", str(places["13.4"]))
    monkeypatch.setenv("CUDA_HOME", str(nothing / "home"))
    monkeypatch.setenv("CUDA_PATH", str(nothing / "path"))
    for version, place in places.items():
        program(place, NVCC.format(version=version))
        assert find_toolchain() == Toolchain(place, version, place.parents[1], (75, 90, 120))


def test_a_machine_without_nvcc(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = program(nothing / "bin" / "nvcc", "#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("CUDACXX", "/nowhere/nvcc")
    with pytest.raises(BuildError) as caught:
        find_toolchain()
    [problem] = caught.value.diagnostics
    assert problem.message.splitlines() == [
        "there is no CUDA compiler (nvcc) to compile plugins with; looked for",
        "  /nowhere/nvcc: not there",
        f"  {broken}: it does not run",
        f"  {nothing / 'toolkit' / 'bin' / 'nvcc'}: not there",
    ]
    assert "pip install 'trtdsl[plugins]'" in str(problem.hint)


def test_a_machine_without_cmake_or_a_cxx_compiler(nothing: Path) -> None:
    def compile_it() -> None:
        compile_library(LibrarySources.bundled(), None, COMPILER, "90", nothing / "scratch")

    with pytest.raises(BuildError, match="there is no cmake to compile plugins with"):
        compile_it()
    program(nothing / "scripts" / "cmake", "#!/bin/sh\necho CMake Error: no\nexit 1\n")
    with pytest.raises(BuildError, match=r"there is no C\+\+ compiler to compile plugins with"):
        compile_it()
    program(nothing / "bin" / "g++", "#!/bin/sh\n")
    with pytest.raises(BuildError, match=r"the library of plugins was not configured:\nCMake Error: no$"):
        compile_it()


def test_the_cxx_compiler_is_the_one_that_is_named(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_cxx() is None
    clang = program(nothing / "bin" / "clang++", "#!/bin/sh\n")
    assert find_cxx() == clang
    usual = program(nothing / "bin" / "c++", "#!/bin/sh\n")
    assert find_cxx() == usual
    monkeypatch.setenv("CXX", "clang++")
    assert find_cxx() == clang
