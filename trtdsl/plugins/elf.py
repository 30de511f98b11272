"""What a shared library for 64-bit Linux says of itself: the libraries that it needs."""

from __future__ import annotations

import struct
from pathlib import Path

_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRTAB, _END = 1, 5, 0


class NotALibrary(ValueError):
    """A file that is no shared library for this kind of machine."""


def needed_libraries(path: Path) -> tuple[str, ...]:
    """The names of the libraries that a shared library is linked to. Raises NotALibrary, OSError."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        raise NotALibrary("it is no ELF file")
    if data[4:6] != b"\x02\x01":
        raise NotALibrary("it is not for a machine of 64 bits, little end first")
    try:
        return tuple(_needed(data))
    except (struct.error, ValueError, IndexError):
        raise NotALibrary("its ELF header is damaged") from None


def _needed(data: bytes) -> list[str]:
    [offset] = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    segments = [struct.unpack_from("<IIQQQQ", data, offset + index * size) for index in range(count)]
    # A segment has its type, flags, place in the file, address, physical address and size in the file.
    loaded = [(address, place, length) for kind, _, place, address, _, length in segments if kind == _LOAD]
    needed: list[int] = []
    names = 0
    for kind, _, place, _, _, length in segments:
        for entry in range(place, place + length, 16) if kind == _DYNAMIC else ():
            tag, value = struct.unpack_from("<QQ", data, entry)
            if tag == _END:
                break
            if tag == _NEEDED:
                needed.append(value)
            elif tag == _STRTAB:
                names = next(where + value - start for start, where, size in loaded if start <= value < start + size)
    return [data[names + index : data.index(b"\0", names + index)].decode() for index in needed]
