"""Recurrent layers of PyTorch as loops over their own weights: ONNX Runtime's numbers equal PyTorch's.

An expectation in numpy, which test_networks.py has, could share a misunderstanding of the gates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtdsl
from trtdsl.targets.onnx import to_onnx
from trtdsl.targets.reference import run_model

torch = pytest.importorskip("torch", reason="recurrent networks were NOT compared with PyTorch's: no PyTorch here")

LSTM_ROUND = """\
{{op: linear, name: ih, in: x_t, out_features: 64, weight: weight_ih_{0}, bias: bias_ih_{0}}}
{{op: linear, name: hh, in: h, out_features: 64, weight: weight_hh_{0}, bias: bias_hh_{0}}}
{{op: add, name: gates, in: [ih, hh]}}
{{op: split, in: gates, sections: 4, dim: 1, out: [i, f, g, o]}}
{{op: sigmoid, name: forget, in: f}}
{{op: mul, name: old, in: [forget, c]}}
{{op: sigmoid, name: input, in: i}}
{{op: tanh, name: cell, in: g}}
{{op: mul, name: new, in: [input, cell]}}
{{op: add, name: c_next, in: [old, new]}}
{{op: sigmoid, name: output, in: o}}
{{op: tanh, name: squashed, in: c_next}}
{{op: mul, name: h_next, in: [output, squashed]}}
"""
GRU_ROUND = """\
{{op: linear, name: ih, in: x_t, out_features: 48, weight: weight_ih_{0}, bias: bias_ih_{0}}}
{{op: linear, name: hh, in: h, out_features: 48, weight: weight_hh_{0}, bias: bias_hh_{0}}}
{{op: split, in: ih, sections: 3, dim: 1, out: [ir, iz, in]}}
{{op: split, in: hh, sections: 3, dim: 1, out: [hr, hz, hn]}}
{{op: add, name: r_sum, in: [ir, hr]}}
{{op: sigmoid, name: r, in: r_sum}}
{{op: add, name: z_sum, in: [iz, hz]}}
{{op: sigmoid, name: z, in: z_sum}}
{{op: mul, name: reset, in: [r, hn]}}
{{op: add, name: n_sum, in: [in, reset]}}
{{op: tanh, name: n, in: n_sum}}
{{op: sub, name: change, in: [h, n]}}
{{op: mul, name: kept, in: [z, change]}}
{{op: add, name: h_next, in: [n, kept]}}
"""


def direction(name: str, suffix: str, kind: str, *, reverse: bool) -> str:
    """A loop over one direction of one layer of `kind`, which reads `x`."""
    states = {"lstm": "{h: h0, c: c0}", "gru": "{h: h0}"}[kind]
    following = {"lstm": "{h: h_next, c: c_next}", "gru": "{h: h_next}"}[kind]
    text = {"lstm": LSTM_ROUND, "gru": GRU_ROUND}[kind].format(suffix)
    layers = "\n".join(f"      - {line}" for line in text.splitlines())
    backwards = ", reverse: true" if reverse else ""
    return f"""\
  - op: loop
    name: {name}
    scan: {{x_t: {{tensor: x, dim: 1{backwards}}}}}
    state: {states}
    layers:
{layers}
    next: {following}
    outputs: {{all: {{stack: h_next, dim: 1{backwards}}}, h: h}}
"""


@pytest.mark.parametrize("length", [1, 6, 11])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_equals_pytorch(kind: str, bidirectional: bool, length: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    module = made(8, 16, batch_first=True, bidirectional=bidirectional)
    np.savez(tmp_path / "weights.npz", **{name: value.numpy() for name, value in module.state_dict().items()})
    text = "trtdsl: 1\ndims: {N: [1, 3, 5], T: [1, 6, 11]}\nweights: weights.npz\n"
    text += "inputs: {x: [N, T, 8], h0: [N, 16], c0: [N, 16]}\nlayers:\n"
    text += direction("forward", "l0", kind, reverse=False)
    if bidirectional:
        text += direction("backward", "l0_reverse", kind, reverse=True)
        text += "  - {op: concat, name: all, in: [forward:all, backward:all], dim: 2}\n"
    text += f"outputs: {{y: {'all' if bidirectional else 'forward:all'}, h: forward:h}}\n"
    path = tmp_path / "net.yaml"
    path.write_text(text)
    x = torch.randn(3, length, 8)
    zeros = np.zeros((3, 16), np.float32)
    model = to_onnx(trtdsl.load(path).typed).proto().SerializeToString()
    actual = run_model(model, _given(path, {"x": x.numpy(), "h0": zeros, "c0": zeros}))
    with torch.no_grad():
        y, state = module(x)
    h = state[0] if kind == "lstm" else state
    np.testing.assert_allclose(actual["y"], y.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_allclose(actual["h"], h[0].numpy(), rtol=0, atol=1e-5)


def _given(path: Path, arrays: dict[str, Any]) -> dict[str, Any]:
    return {entry.name: arrays[entry.name] for entry in trtdsl.load(path).typed.inputs}
