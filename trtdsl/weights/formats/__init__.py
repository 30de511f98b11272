"""The file formats that weights are read from. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from trtdsl.errors import reason_of
from trtdsl.weights.entries import WeightFile, unusable
from trtdsl.weights.formats.npy import NpyFolder
from trtdsl.weights.formats.npz import NpzFile
from trtdsl.weights.formats.safetensors import SafetensorsFile
from trtdsl.weights.formats.wts import WtsFile

FORMATS: Mapping[str, Callable[[Path], WeightFile]] = {
    ".safetensors": SafetensorsFile,
    ".npz": NpzFile,
    ".wts": WtsFile,
}
"""What reads a file, by its suffix; a folder is read as one of .npy files."""

_PICKLED = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_KNOWN = ", ".join(FORMATS) + ", or a folder of .npy files"


def open_weights(path: Path) -> WeightFile:
    """The entries of a file or folder, mapped and not read. Raises NetworkError (`weight-file`)."""
    suffix = path.suffix.lower()
    if suffix in _PICKLED:
        raise unusable(path, f"{suffix} files are pickled Python, which is never loaded", hint=_conversion(path))
    try:
        if path.is_dir():
            return NpyFolder(path)
        if not path.exists():
            raise unusable(path, "no such file")
        if suffix == ".npy":
            raise unusable(path, "a single array", hint="name the folder that holds the .npy files")
        if suffix not in FORMATS:
            raise unusable(path, f"weights are not read from {suffix or 'such'} files", hint=f"known are {_KNOWN}")
        return FORMATS[suffix](path)
    except OSError as error:
        raise unusable(path, reason_of(error)) from None


def _conversion(path: Path) -> str:
    converted = path.with_suffix(".safetensors").name
    return (
        f"convert it once where PyTorch is installed: import torch, safetensors.torch; "
        f'weights = torch.load("{path.name}", map_location="cpu", weights_only=True); '
        f'safetensors.torch.save_file({{k: v.contiguous() for k, v in weights.items()}}, "{converted}")'
    )
