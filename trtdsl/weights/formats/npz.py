"""npz: a zip file of .npy members; stored members are mapped in place, deflated ones read on use.

numpy writes members wherever the one before ends, so that many are not aligned to their elements: those are copied.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trtdsl.errors import NetworkError
from trtdsl.weights.base import Array
from trtdsl.weights.entries import Entry, WeightFile, array_entry, unusable
from trtdsl.weights.formats.npy import ArrayHeader, read_array, read_header

_LOCAL_HEADER = struct.Struct("<4s22xHH")


class NpzFile(WeightFile):
    """The arrays of one npz file, by the names of their members without `.npy`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise unusable(path, f"not a complete npz file ({error})") from None
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            key = member.filename.removesuffix(".npy")
            if key in self._members:
                raise unusable(path, f'"{key}" is there twice')
            if not member.is_dir():
                self._members[key] = member
        self._bytes: Array = np.memmap(path, np.uint8, mode="r")

    def __getitem__(self, key: str) -> Entry:
        member = self._members[key]
        try:
            with self._zip.open(member) as stream:
                header = read_header(stream)
        except _DAMAGE as error:
            raise self._damaged(key, error) from None
        if member.file_size < header.size + header.data_size:
            raise self._damaged(key, "it ends early")
        if member.compress_type != zipfile.ZIP_STORED:
            return array_entry(self.path, key, header.shape, header.dtype, lambda: self._inflate(key, header))
        content = self._content(key, member)
        if header.size + header.data_size > len(content):
            raise self._damaged(key, "it ends early")
        elements = content[header.size : header.size + header.data_size]
        return array_entry(self.path, key, header.shape, header.dtype, lambda: header.view(elements))

    def _known(self) -> Mapping[str, object]:
        return self._members

    def _content(self, key: str, member: zipfile.ZipInfo) -> Array:
        """The bytes of a stored member: behind a header of its own, whose length the zip's directory does not tell."""
        start = member.header_offset + _LOCAL_HEADER.size
        local = self._bytes[member.header_offset : start].tobytes()
        if len(local) < _LOCAL_HEADER.size:
            raise self._damaged(key, "it ends early")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(local)
        start += name_length + extra_length
        return self._bytes[start : start + member.file_size]

    def _inflate(self, key: str, header: ArrayHeader) -> Array:
        try:
            with self._zip.open(self._members[key]) as stream:
                return read_array(stream)
        except _DAMAGE as error:
            raise self._damaged(key, error) from None

    def _damaged(self, key: str, error: object) -> NetworkError:
        return unusable(self.path, f'"{key}" cannot be read ({error})')


# RuntimeError: the member is encrypted. NotImplementedError: a compression that this Python lacks.
# MemoryError: an array larger than this machine's memory.
_DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, RuntimeError, NotImplementedError, MemoryError)
