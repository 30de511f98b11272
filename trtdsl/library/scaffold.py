"""The folder in which a new plugin begins: it compiles, and its test passes."""

from __future__ import annotations

import re
from pathlib import Path

from trtdsl.engine.files import Staged
from trtdsl.errors import BuildError
from trtdsl.library.build import folder_problem
from trtdsl.plugins.bundled import bundled_plugins

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_YAML = """\
plugin: {name}
help: The input times a factor.
fields:
  factor: {{type: fp32, default: 1.0, help: "what elements are multiplied by"}}
inputs:
  x: {{}}
outputs:
  y: {{shape: x}}
formats:
  - [fp32, linear]
  - [fp16, linear]
"""

_KERNEL = """\
#include "{folder}/plugin.h"

#include "common/elementwise.cuh"

namespace trtdsl::{folder} {{

struct Function {{
  float factor;

  __device__ float operator()(float x) const {{ return x * factor; }}
}};

size_t workspace_size(const Params&, const Tensor*, const Tensor*) {{ return 0; }}

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void*, cudaStream_t stream) {{
  return launch_elementwise(inputs[0], outputs[0], Function{{params.factor}}, stream);
}}

}}  // namespace trtdsl::{folder}
"""

_NET = """\
trtdsl: 1
dims: {{N: [1, 4, 8]}}
inputs: {{x: [N, 8, 33, 17]}}
plugins: {{libraries: [lib{folder}.so]}}
layers:
  - {{op: plugin, plugin: {name}, fields: {{factor: 2.0}}}}
"""

_TEST = '''\
"""{name} compiles, networks take it, and on a GPU it gives what it should."""

from pathlib import Path

import numpy as np
import pytest

import trtdsl
from trtdsl import library
from trtdsl.cli.main import main
from trtdsl.targets.gpu import has_gpu

FOLDER = Path(__file__).parent


def expected(x):
    return x * 2.0


def test_it_compiles(tmp_path):
    compiler = library.find_toolchain()
    sources = library.LibrarySources.of([FOLDER])
    oldest = compiler.architectures(compiler.known[:1])
    [kernels] = library.compile_library(sources, None, compiler, oldest, tmp_path)
    assert kernels.is_file()


def test_networks_take_it():
    network = trtdsl.load(FOLDER / "net.yaml")
    assert [str(network.typed.types[output.tensor]) for output in network.typed.outputs] == ["fp32[N, 8, 33, 17]"]


def test_numbers():
    pytest.importorskip("tensorrt", reason="numbers were NOT compared: there is no TensorRT")
    if not has_gpu():
        pytest.skip("numbers were NOT compared: there is no GPU")
    main(["plugins", "build", str(FOLDER)], standalone_mode=False)
    x = np.random.default_rng(0).standard_normal((4, 8, 33, 17), dtype=np.float32)
    [y] = trtdsl.load(FOLDER / "net.yaml").run({{"x": x}}, runtime="tensorrt").values()
    np.testing.assert_allclose(y, expected(x), rtol=1e-5, atol=1e-6)
'''


def new_plugin(name: str, into: Path) -> tuple[Path, ...]:
    """Write plugin.yaml, kernel.cu, a network that uses it and a test into a new folder; gives the files.

    The folder is called as the plugin, in snake case. Raises BuildError for a name that C++ cannot have or that a
    bundled plugin has, or a folder that is there; OSError.
    """
    if not _NAME.fullmatch(name):
        raise BuildError.of("plugin-build", f"`{name}` is no name for a plugin", hint="letters, digits and _: `Swish`")
    folder = into / snake_case(name)
    if problem := folder_problem(folder.name):
        raise BuildError.of("plugin-build", f"`{name}` is no name for a plugin: {problem}")
    if name in bundled_plugins():
        raise BuildError.of(
            "plugin-build", f"{name} comes with trtdsl, and two plugins of one name cannot be told apart"
        )
    if folder.exists():
        raise BuildError.of("plugin-build", f"{folder} is there already")
    folder.mkdir(parents=True)
    texts = {"plugin.yaml": _YAML, "kernel.cu": _KERNEL, "net.yaml": _NET, f"test_{folder.name}.py": _TEST}
    with Staged() as staged:
        for file, text in texts.items():
            staged.write(folder / file, text.format(name=name, folder=folder.name).encode())
        staged.commit()
    return tuple(folder / file for file in texts)


def snake_case(name: str) -> str:
    """`InstanceNormPad` as `instance_norm_pad`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
