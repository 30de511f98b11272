"""What creators receive is what YAML says: an Echo plugin compiled for the real TensorRTs, which keeps every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.real import ECHO, compiled_for, every_version, run_python

ROUNDS = 1000
DRIVE = "import runpy, sys; sys.argv[0] = 'drive'; runpy.run_path('tests/plugins/echo/drive.py', run_name='__main__')"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The libraries that are compiled so far, by the version of TensorRT."""
    return {"": tmp_path_factory.mktemp("echo")}


def library(version: str, echo: dict[str, Path]) -> Path:
    if version not in echo:
        echo[version] = compiled_for(version, ECHO / "echo.cpp", echo[""] / f"libecho-{version}.so")
    return echo[version]


@every_version
def test_creators_get_what_is_written(version: str, echo: dict[str, Path], tmp_path: Path) -> None:
    said = run_python(version, DRIVE, library(version, echo), tmp_path, str(ROUNDS))
    assert said.splitlines()[-1] == f"{ROUNDS} plugins were given what was written"


SCRIPT = """
import ctypes, re, sys
from pathlib import Path
import tensorrt_bindings as trt
import trtdsl
from tests.plugins.standin import SILENCE, Network
from trtdsl.build_options import BuildOptions
from trtdsl.targets.runtime import Runtime
from trtdsl.targets.script import write_script
from trtdsl.targets.tensorrt import emit
library, path = sys.argv[1], Path(sys.argv[2]) / "net.yaml"
fields = "half: 0.5, single: [1, 2], double: 3, tiny: -1, small: 2, whole: true, four: [1, 2, 3, 4], text: hé"
fields = f"{{{fields}, dims: [5, 6]}}"
head = f"trtdsl: 1\\ninputs: {{x: [2, 3]}}\\nplugins: {{libraries: [{library}]}}\\n"
path.write_text(f"{head}layers:\\n  - {{op: plugin, plugin: Echo, fields: {fields}}}\\n")
runtime = Runtime("tensorrt", tuple(map(int, trt.__version__.split("."))), trt)
typed = trtdsl.load(path).typed
emit(typed, Network(trt), runtime, SILENCE, strongly_typed=False)
echo = ctypes.CDLL(library)
echo.echoLast.restype = ctypes.c_char_p
emitted = echo.echoLast()
text = write_script(typed, runtime, BuildOptions(), source=path, weights="none.npz").text
program = {"__name__": "script"}
exec(compile(text, "script.py", "exec"), program)
program["load_plugins"]()
call = re.search(r"plugin\\('Echo'.*?'plugin'\\)", text, re.DOTALL)[0]
assert eval(call, program) is not None
assert echo.echoCreated() == 2
assert echo.echoLast() == emitted and emitted.count(b"\\n") == 9, (emitted, echo.echoLast())
print("the same")
"""


@every_version
def test_scripts_give_creators_the_same(version: str, echo: dict[str, Path], tmp_path: Path) -> None:
    assert run_python(version, SCRIPT, library(version, echo), tmp_path).splitlines()[-1] == "the same"
