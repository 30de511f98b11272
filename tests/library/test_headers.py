"""TensorRT's headers: found, and fetched from a server that stands in for NVIDIA's public repository."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import trtdsl.library.headers as module
from tests.library.conftest import HEADERS, VERSIONS
from tests.plugins.real import ECHO, cxx_for
from trtdsl import library
from trtdsl.cli.plugins_build import command as build
from trtdsl.errors import BuildError
from trtdsl.library.headers import cached_headers, download_headers, find_headers, version_of
from trtdsl.library.toolchain import Toolchain

VERSION_HEADER = {
    8: "#define NV_TENSORRT_MAJOR 8 //!< TensorRT major version.\n#define NV_TENSORRT_MINOR {minor} //!< Minor.\n",
    10: "#define TRT_MAJOR_ENTERPRISE {major}\n#define TRT_MINOR_ENTERPRISE {minor}\n"
    "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< TensorRT major version.\n",
}
FILES = {
    "NvInfer.h": '#include "NvInferRuntime.h" // IWYU pragma: export\n#include <cstdint>\n',
    "NvInferRuntime.h": '#include "NvInferVersion.h"\n  #  include "impl/NvInferDetail.h"\n',
    "impl/NvInferDetail.h": '#include "NvInfer.h"\n',
    "NvInferPlugin.h": '#include "NvInfer.h"\n',
}
"""As TensorRT's are: they include each other by names from their root, and some others by `<>`."""


def headers(folder: Path, major: int, minor: int) -> Path:
    """Headers of a version."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    text = VERSION_HEADER[8 if major < 10 else 10].format(major=major, minor=minor)
    (folder / "NvInferVersion.h").write_text(text)
    return folder


class Repository:
    """What NVIDIA's public repository is in these tests: a folder for each tag, and the paths that were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    def add(self, tag: str, major: int, minor: int) -> Path:
        return headers(self.folder / tag / "include", major, minor)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository(tmp_path / "repository")
    served.folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            served.asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served.folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    public_at(monkeypatch, server.server_address[1])
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def public_at(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "_PUBLIC", f"http://127.0.0.1:{port}/v{{tag}}/include/{{name}}")


@pytest.mark.parametrize(("major", "minor"), VERSIONS)
def test_headers_say_their_version(major: int, minor: int, tmp_path: Path) -> None:
    assert version_of(headers(tmp_path / "include", major, minor)) == (major, minor)


def test_headers_of_another_version_are_not_taken(tmp_path: Path) -> None:
    folder = headers(tmp_path / "include", 8, 6)
    assert find_headers((8, 6, 1), folder) == folder
    with pytest.raises(BuildError, match=r"(?s)no headers of TensorRT 10\.15; looked in.*: those of TensorRT 8\.6$"):
        find_headers((10, 15), folder)


def test_headers_are_looked_for_where_the_variable_says_then_in_the_usual_places_and_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_SYSTEM", (str(tmp_path / "usual"),))
    places = [tmp_path / "named", tmp_path / "usual", tmp_path / "cache" / "tensorrt-8.6" / "include"]
    for place in reversed(places):
        headers(place, 8, 6)
        monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(places[0]))
        assert find_headers((8, 6)) == place
    for place in places:
        shutil.rmtree(place)
    with pytest.raises(BuildError) as caught:
        find_headers((8, 6))
    [problem] = caught.value.diagnostics
    assert problem.message.splitlines()[1:] == [f"  {place}: no headers" for place in places]


def test_all_headers_are_fetched_once(repository: Repository) -> None:
    repository.add("v10.15", 10, 15)
    fetched = download_headers((10, 15, 1, 29))
    assert fetched == cached_headers((10, 15)) == find_headers((10, 15))
    names = {str(path.relative_to(fetched)) for path in fetched.rglob("*.h")}
    assert names == {"NvInferVersion.h", *FILES}
    assert all((fetched / name).read_text() == text for name, text in FILES.items())
    assert len(repository.asked) == len(names) + 2  # of the tag 10.15.1, which is not there: request and refusal
    assert download_headers((10, 15, 1, 29)) == fetched
    assert len(repository.asked) == len(names) + 2


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: ".".join(map(str, version)))
def test_tensorrts_own_headers_are_whole_once_fetched(
    version: tuple[int, int], repository: Repository, tmp_path: Path
) -> None:
    if version_of(HEADERS[version]) != version:
        pytest.skip(f"TensorRT {version[0]}.{version[1]}'s headers were NOT fetched: there are none to serve")
    cxx = cxx_for("what includes the headers")
    shutil.copytree(HEADERS[version], repository.folder / f"v{version[0]}.{version[1]}" / "include")
    fetched = download_headers(version)
    source = tmp_path / "all.cpp"
    source.write_text('#include "NvInfer.h"\n#include "NvInferPlugin.h"\n')
    included = ["-isystem", str(fetched), "-I", str(ECHO / "cuda")]
    subprocess.run([cxx, "-std=c++17", "-fsyntax-only", *included, str(source)], check=True)


def test_a_tag_that_holds_another_version(repository: Repository) -> None:
    repository.add("v10.15", 10, 14)
    with pytest.raises(BuildError, match=r"the headers at tag v10\.15 are of TensorRT 10\.14$"):
        download_headers((10, 15))
    assert version_of(cached_headers((10, 15))) is None


def test_a_version_that_is_not_published(repository: Repository) -> None:
    with pytest.raises(BuildError) as caught:
        download_headers((12, 3, 4))
    [problem] = caught.value.diagnostics
    assert problem.code == "plugin-headers"
    tags = [line.partition("/v")[2].partition("/")[0] for line in problem.message.splitlines()[1:]]
    assert tags == ["12.3.4", "12.3", "12.3.1", "12.3.0"]
    assert problem.message.count("NvInferVersion.h: 404 File not found") == 4


def test_a_header_that_lacks_leaves_nothing_behind(repository: Repository) -> None:
    (repository.add("v8.6.1", 8, 6) / "impl" / "NvInferDetail.h").unlink()
    with pytest.raises(BuildError, match=r"/v8\.6\.1/include/impl/NvInferDetail\.h: 404 File not found"):
        download_headers((8, 6, 1))
    assert list(cached_headers((8, 6)).parent.iterdir()) == []


def test_headers_that_are_in_the_way_are_named(repository: Repository) -> None:
    repository.add("v8.6", 8, 6)
    (cached_headers((8, 6)) / "mine").mkdir(parents=True)
    with pytest.raises(BuildError, match=r"tensorrt-8\.6/include is in the way of the headers: directory not empty"):
        download_headers((8, 6))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "Connection refused"),
        (b"", "RemoteDisconnected"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n#define", "IncompleteRead"),
        (b"SSH-2.0\r\n\r\n", "BadStatusLine"),
    ],
    ids=["nobody there", "no answer", "half an answer", "no HTTP"],
)
def test_a_network_that_fails(answer: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRTDSL_CACHE_DIR", str(tmp_path / "cache"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        public_at(monkeypatch, server.getsockname()[1])
        thread = threading.Thread(target=answer_once, args=(server, answer))
        if answer is None:
            server.close()
        else:
            thread.start()
        with pytest.raises(BuildError) as caught:
            download_headers((8, 6, 1))
        if answer is not None:
            thread.join()
    [problem] = caught.value.diagnostics
    assert problem.code == "plugin-headers"
    [place] = problem.message.splitlines()[1:]  # other tags are not tried
    assert "/v8.6.1/include/" in place
    assert said in place


def answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(answer)


@pytest.fixture
def compiled_with(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The headers that `plugins build` goes on to compile with, which it does not here."""
    taken: list[Path] = []
    compiler = Toolchain(Path("nvcc"), "13.0", Path("/cuda"), (75, 90))

    def build_library(sources: object, version: object, include: Path, *_: object, **__: object) -> tuple[Path, bool]:
        taken.append(include)
        return Path("library.so"), False

    monkeypatch.setattr(library, "find_toolchain", lambda: compiler)
    monkeypatch.setattr(library, "build_library", build_library)
    return taken


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(build, ["--tensorrt-version", "10.15", *arguments])


def test_the_command_fetches_them_when_it_may(repository: Repository, compiled_with: list[Path]) -> None:
    repository.add("v10.15", 10, 15)
    refused = invoked()
    assert isinstance(refused.exception, BuildError)
    assert "`--download-headers`" in str(refused.exception.diagnostics[0].hint)
    assert repository.asked == []
    assert invoked("--download-headers").exit_code == 0
    assert invoked().exit_code == 0
    assert compiled_with == [cached_headers((10, 15))] * 2


def test_the_command_fetches_nothing_that_is_there(
    repository: Repository, compiled_with: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = headers(tmp_path / "mine", 10, 15)
    monkeypatch.setenv("TENSORRT_INCLUDE_DIR", str(mine))
    assert invoked("--download-headers").exit_code == 0
    assert (compiled_with, repository.asked) == ([mine], [])
    both = invoked("--download-headers", "--headers", str(mine))
    assert (both.exit_code, "there is nothing to download" in both.output) == (2, True)
