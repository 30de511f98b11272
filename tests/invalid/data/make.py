"""Write the weights that the examples beside this folder name. Run it in this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ARRAYS = {
    "fc.weight": np.ones((2, 3), np.float32),
    "fc.bias": np.zeros(2, np.float32),
    "fc1.weight": np.ones((3, 2), np.float32),
    "head.weight": np.ones((2, 3), np.int64),
    "nan.weight": np.array([[1, 2, np.nan], [4, 5, np.inf]], np.float32),
    "large": np.array([1, 2**40]),
}

if __name__ == "__main__":
    save_file(ARRAYS, "small.safetensors")
    np.savez("second.npz", **{"fc.bias": np.ones(2, np.float32)})
    Path("damaged.safetensors").write_bytes(Path("small.safetensors").read_bytes()[:-1])
    words = " ".join(["3f800000"] * 5)
    Path("flat.wts").write_text(f"2\nfc.weight 5 {words}\nfc.bias 2 00000000 00000000\n")
