"""The folder in which a new plugin begins: it compiles, and its test passes."""

from __future__ import annotations

import re
from pathlib import Path

from trtdsl.engine.files import Staged
from trtdsl.errors import BuildError

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
name: {folder}
dims: {{N: [1, 4, 8]}}
inputs: {{x: [N, 8, 32, 32]}}
plugins: {{libraries: [lib{folder}_plugins.so]}}
layers:
  - {{op: plugin, plugin: {name}, namespace: trtdsl, fields: {{factor: 2.0}}}}
"""


def new_plugin(name: str, into: Path) -> tuple[Path, ...]:
    """Write plugin.yaml, kernel.cu and net.yaml, a network that uses it, into a new folder; gives the files.

    The folder is called as the plugin, in snake case. Raises BuildError for a name that C++ cannot have, or a folder
    that is there; OSError.
    """
    if not _NAME.fullmatch(name):
        raise BuildError.of("plugin-build", f"`{name}` is no name for a plugin", hint="letters, digits and _: `Swish`")
    folder = into / snake_case(name)
    if folder.exists():
        raise BuildError.of("plugin-build", f"{folder} is there already")
    folder.mkdir(parents=True)
    texts = {"plugin.yaml": _YAML, "kernel.cu": _KERNEL, "net.yaml": _NET}
    with Staged() as staged:
        for file, text in texts.items():
            staged.write(folder / file, text.format(name=name, folder=folder.name).encode())
        staged.commit()
    return tuple(folder / file for file in texts)


def snake_case(name: str) -> str:
    """`InstanceNormPad` as `instance_norm_pad`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
