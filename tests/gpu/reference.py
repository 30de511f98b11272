"""Writes PyTorch's outputs for the tests in this folder: `python tests/gpu/reference.py DIR`.

For every network NAME.safetensors (weights) and NAME.npz (inputs as `in/…`, output as `out`); for every op case one
entry of ops.npz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from reference_networks import cases, settle
from reference_ops import write_ops
from safetensors.torch import save_file


def write_networks(directory: Path) -> None:
    """Weights, inputs and outputs of whole networks, in fp32 without TF32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = {}
    for name, case in cases().items():
        torch.manual_seed(0)
        model = settle(case.model()).to(device)
        state = {
            key.removeprefix(case.prefix): value.contiguous()
            for key, value in model.state_dict().items()
            if key.startswith(case.prefix) and not key.endswith("num_batches_tracked")
        }
        save_file(state, directory / f"{name}.safetensors")
        with torch.no_grad():
            output = model(*(value.to(device) for value in case.inputs.values()))
        arrays = {f"in/{key}": value.numpy() for key, value in case.inputs.items()}
        np.savez(directory / f"{name}.npz", out=output.cpu().numpy(), **arrays)
        described[name] = {"network": case.network, "parameters": dict(case.parameters)}
        print(f"{name}: {sum(value.numel() for value in state.values()):,} weights, output {tuple(output.shape)}")
    (directory / "networks.json").write_text(json.dumps(described))


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    write_ops(directory)
    write_networks(directory)


if __name__ == "__main__":
    main()
