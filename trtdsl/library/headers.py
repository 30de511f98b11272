"""TensorRT's headers: where they are found, and how they are fetched."""

from __future__ import annotations

import http.client
import os
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from trtdsl.errors import BuildError, reason_of
from trtdsl.library.places import cache_folder

VARIABLE = "TENSORRT_INCLUDE_DIR"
_SYSTEM = (
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
    "/usr/include",
    "/usr/local/include",
    "/usr/local/tensorrt/include",
    "/usr/local/TensorRT/include",
    "/opt/tensorrt/include",
    "/opt/TensorRT/include",
)
_PUBLIC = "https://raw.githubusercontent.com/NVIDIA/TensorRT/v{tag}/include/{name}"
_VERSION_HEADER = "NvInferVersion.h"
_ROOTS = (_VERSION_HEADER, "NvInfer.h", "NvInferPlugin.h")
"""Headers that are fetched, with all those of the repository that they include."""
_INCLUDE = re.compile(r'^\s*#\s*include\s+"([\w/]+\.h)"', re.MULTILINE)
_VERSION = re.compile(r"^#define (?:NV_TENSORRT|TRT)_(MAJOR|MINOR)(?:_ENTERPRISE)? (\d+)", re.MULTILINE)
_TIMEOUT = 60

Version = tuple[int, ...]


def version_of(include: Path) -> Version | None:
    """The (major, minor) that NvInferVersion.h in a folder states; None where the headers are not, or not whole."""
    try:
        text = (include / _VERSION_HEADER).read_text(errors="replace")
    except OSError:
        return None
    found = {name: int(number) for name, number in _VERSION.findall(text)}
    if not {"MAJOR", "MINOR"} <= found.keys() or not (include / "NvInfer.h").is_file():
        return None
    return found["MAJOR"], found["MINOR"]


def find_headers(version: Sequence[int], given: Path | None = None) -> Path:
    """The folder of the headers of a TensorRT version, of which major and minor count.

    Looks in `given` and nowhere else, or in $TENSORRT_INCLUDE_DIR, the usual places and the cache. Raises BuildError
    that lists where was looked and what was found there.
    """
    wanted = tuple(version[:2])
    looked = []
    for place in [given] if given is not None else _places(wanted):
        found = version_of(place)
        if found == wanted:
            return place.resolve()
        looked.append(f"{place}: {'no headers' if found is None else f'those of TensorRT {_dotted(found)}'}")
    message = "\n  ".join([f"there are no headers of TensorRT {_dotted(wanted)}; looked in", *looked])
    hint = f"`--headers FOLDER`, ${VARIABLE}, or `--download-headers` takes them from NVIDIA's public repository"
    raise BuildError.of("plugin-headers", message, hint=hint)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))


def _places(wanted: Version) -> Iterator[Path]:
    if named := os.environ.get(VARIABLE):
        yield Path(named)
    yield from map(Path, _SYSTEM)
    yield cached_headers(wanted)


def cached_headers(version: Sequence[int]) -> Path:
    """Where headers are kept that were fetched."""
    return cache_folder() / f"tensorrt-{_dotted(version[:2])}" / "include"


def download_headers(version: Sequence[int]) -> Path:
    """The headers of a version, out of the cache or NVIDIA's public repository. Raises BuildError, OSError."""
    target = cached_headers(version)
    if version_of(target) == tuple(version[:2]):
        return target
    problems = []
    for tag in _tags(version):
        try:
            return _fetch(tag, target, version)
        except urllib.error.HTTPError as error:
            problems.append(f"{error.url}: {error.code} {error.reason}")
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problems.append(f"{_PUBLIC.format(tag=tag, name='')}: {getattr(error, 'reason', None) or repr(error)}")
            break  # it is no better at another tag
    message = f"the headers of TensorRT {_dotted(version)} were not fetched:"
    hint = f"`--headers FOLDER` or ${VARIABLE} says where they are"
    raise BuildError.of("plugin-headers", "\n  ".join([message, *problems]), hint=hint)


def _tags(version: Sequence[int]) -> list[str]:
    """What the version may be called there: with three numbers, or two; other patches have the same interface."""
    major_minor = _dotted(version[:2])
    return list(dict.fromkeys([_dotted(version[:3]), major_minor, f"{major_minor}.1", f"{major_minor}.0"]))


def _fetch(tag: str, target: Path, version: Sequence[int]) -> Path:
    """Headers beside `target` first; they take its place once all are there and of the version asked for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".headers-") as scratch:
        made = Path(scratch) / "include"
        wanted = list(_ROOTS)
        for name in wanted:  # which grows as headers name others
            content = _get(_PUBLIC.format(tag=tag, name=name))
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
            included = dict.fromkeys(_INCLUDE.findall(content.decode(errors="replace")))
            wanted += [other for other in included if other not in wanted]
        found = version_of(made)
        if found != tuple(version[:2]):
            message = f"the headers at tag v{tag} are of TensorRT {_dotted(found) if found else 'no version'}"
            raise BuildError.of("plugin-headers", message)
        try:
            made.rename(target)
        except OSError as error:
            if version_of(target) != found:  # nor has another process put them there
                message = f"{target} is in the way of the headers: {reason_of(error)}"
                raise BuildError.of("plugin-headers", message) from None
    return target


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
        content: bytes = answer.read()
    return content
