"""Libraries of plugins in manifests, and what an engine says whose library is missing or another one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtdsl
from tests.plugins.real import compiled, every_version, run_python
from tests.plugins.test_registry import Creator, module
from trtdsl.build_options import BuildOptions
from trtdsl.bundled_library import for_runtime
from trtdsl.cli.info import readable
from trtdsl.engine.files import sha256_of
from trtdsl.engine.manifest import Outcome, Request, describe, ingredients_but_weights
from trtdsl.engine.plugins import load_plugins
from trtdsl.engine.verification import asked_only
from trtdsl.errors import EngineFileError
from trtdsl.ops.base import OpError
from trtdsl.plugins.use import PluginUse
from trtdsl.targets.plugins import plugins_of
from trtdsl.targets.recorder import record
from trtdsl.targets.runtime import Runtime


@pytest.fixture
def library(tmp_path: Path) -> Path:
    source = tmp_path / "source.cpp"
    source.write_text('extern "C" int getCreators() { return 0; }')
    return compiled(source, tmp_path / "libmine.so")


def runtime_with(*creators: Creator, brings: Creator | None = None) -> Runtime:
    """A TensorRT with creators of its own; the library that it is told to load brings another one."""
    trt = module(*creators)
    trt.init_libnvinfer_plugins = staticmethod(lambda log, namespace: True)
    trt.ILogger = type("ILogger", (), {"ERROR": 1, "INTERNAL_ERROR": 0})
    registry = trt.get_plugin_registry()
    registry.load_library = lambda path: registry.all_creators.append(brings)
    members = ("FLOAT", "HALF", "INT32", "INT64", "BOOL")
    trt.DataType = type("DataType", (), {"INT64": 1, "__members__": dict.fromkeys(members)})
    return Runtime("tensorrt", (10, 15, 1), trt)


def ingredients(folder: Path, library: Path, runtime: Runtime) -> Any:
    path = folder / "net.yaml"
    path.write_text(
        f"trtdsl: 1\ninputs: {{x: [2, 3]}}\nplugins: {{libraries: {library.name}}}\nlayers:\n"
        "  - {op: plugin, plugin: Mine}\n  - {op: plugin, plugin: Theirs, version: 1}\n"
    )
    graph = trtdsl.load(path).typed
    return graph, ingredients_but_weights(graph, "", runtime, BuildOptions())


def test_manifests_have_the_libraries_and_what_is_used_of_them(tmp_path: Path, library: Path) -> None:
    runtime = runtime_with(Creator("Theirs", "1"), Creator("Theirs", "2"), brings=Creator("Mine", "3"))
    graph, made_of = ingredients(tmp_path, library, runtime)
    assert list(made_of.plugins) == [
        {
            "library": "libmine.so",
            "sha256": sha256_of(library),
            "plugins": [{"name": "Mine", "version": "3", "namespace": ""}],
        },
        {"library": None, "sha256": None, "plugins": [{"name": "Theirs", "version": "1", "namespace": ""}]},
    ]
    request = Request(graph, "", tmp_path / "net.yaml", {})
    outcome = Outcome("digest", 1, asked_only(graph, "no GPU").as_dict(), {})
    manifest = describe(request, "recipe", made_of, tmp_path / "net.engine", outcome)
    assert manifest["libraries"] == [str(library)]
    shown = readable(manifest)
    assert "libmine.so: Mine 3" in shown
    assert "TensorRT: Theirs 1" in shown


def test_another_library_is_another_engine(tmp_path: Path, library: Path) -> None:
    keys = set()
    for text in ("int a;", "int b;"):
        source = tmp_path / "source.cpp"
        source.write_text(f'{text} extern "C" int getCreators() {{ return 0; }}')
        runtime = runtime_with(Creator("Theirs", "1"), brings=Creator("Mine", "1"))
        keys.add(ingredients(tmp_path, compiled(source, library), runtime)[1].key)
    assert len(keys) == 2


def manifest_of(library: Path, name: str = "Mine") -> dict[str, Any]:
    plugins = [{"name": name, "version": "1", "namespace": ""}]
    used = [{"library": library.name, "sha256": sha256_of(library), "plugins": plugins}]
    return {"built_from": {"plugins": used}, "libraries": [str(library)]}


def loading(engine: Path, manifest: dict[str, Any], *given: Path) -> Any:
    return load_plugins(engine, manifest, runtime_with(brings=Creator("Mine", "1")), given)


def test_the_library_of_an_engine_is_found(tmp_path: Path, library: Path) -> None:
    manifest = manifest_of(library)
    assert loading(tmp_path / "e" / "net.engine", manifest) == (library,)
    moved = tmp_path / "e" / "libmine.so"
    moved.parent.mkdir()
    library.rename(moved)
    assert loading(tmp_path / "e" / "net.engine", manifest) == (moved,)
    given = tmp_path / "given" / "libmine.so"
    given.parent.mkdir()
    moved.rename(given)
    assert loading(tmp_path / "e" / "net.engine", manifest, given) == (given,)


# Each: where the library lies, where another one of its name does, and which is taken.
PLACES: dict[str, tuple[set[str], set[str], str]] = {
    "what is given comes first": ({"given", "built", "engine"}, set(), "given"),
    "then where it was": ({"built", "engine"}, set(), "built"),
    "then what lies beside the engine": ({"engine"}, set(), "engine"),
    "others of its name are passed over": ({"engine"}, {"given", "built"}, "engine"),
    "others are no obstacle later": ({"given"}, {"built", "engine"}, "given"),
}


@pytest.mark.parametrize("name", ["libmine.so", "libmine.so.1"])
@pytest.mark.parametrize(("same", "others", "taken"), PLACES.values(), ids=PLACES)
def test_which_of_several_libraries_is_taken(
    same: set[str], others: set[str], taken: str, name: str, tmp_path: Path, library: Path
) -> None:
    places = {folder: tmp_path / folder / name for folder in ("given", "built", "engine")}
    plugins = [{"name": "Mine", "version": "1", "namespace": ""}]
    used = [{"library": name, "sha256": sha256_of(library), "plugins": plugins}]
    manifest = {"built_from": {"plugins": used}, "libraries": [str(places["built"])]}
    for folder, path in places.items():
        path.parent.mkdir()
        if folder in same | others:
            path.write_bytes(library.read_bytes() + (b"x" if folder in others else b""))
    assert loading(tmp_path / "engine" / "net.engine", manifest, places["given"]) == (places[taken],)


def test_all_missing_libraries_are_named(tmp_path: Path) -> None:
    plugins = [{"name": name, "version": "1", "namespace": ""} for name in ("A", "B")]
    used = [
        {"library": "libab.so", "sha256": "0", "plugins": plugins},
        {"library": "libnone.so", "sha256": "0", "plugins": []},
    ]
    with pytest.raises(EngineFileError) as caught:
        loading(tmp_path / "net.engine", {"built_from": {"plugins": used}, "libraries": []})
    assert [error.message.partition(": ")[2] for error in caught.value.diagnostics] == [
        "it needs libab.so for A, B, which is not there",
        "it needs libnone.so, which is not there",
    ]


# Each: name, version and namespace of a plugin of TensorRT's own that is needed, and whether it is there.
OWN: dict[str, tuple[tuple[str, str, str], bool]] = {
    "the same": (("Theirs", "1", "space"), True),
    "another name": (("Other", "1", "space"), False),
    "another version": (("Theirs", "2", "space"), False),
    "another namespace": (("Theirs", "1", ""), False),
}


@pytest.mark.parametrize(("needed", "is_there"), OWN.values(), ids=OWN)
def test_plugins_of_tensorrts_own(needed: tuple[str, str, str], is_there: bool) -> None:
    runtime = runtime_with()
    registry = runtime.module.get_plugin_registry()
    theirs = Creator("Theirs", "1", "space")
    # They are there from the moment on that they are asked to register.
    runtime.module.init_libnvinfer_plugins = lambda log, namespace: registry.all_creators.append(theirs)
    plugin = dict(zip(("name", "version", "namespace"), needed, strict=True))
    used = [{"library": None, "sha256": None, "plugins": [plugin]}]
    manifest = {"built_from": {"plugins": used}, "libraries": []}
    if is_there:
        assert load_plugins(Path("net.engine"), manifest, runtime) == ()
        return
    with pytest.raises(EngineFileError) as caught:
        load_plugins(Path("net.engine"), manifest, runtime)
    [error] = caught.value.diagnostics
    said = f"net.engine: it needs the plugin {needed[0]} {needed[1]}, which TensorRT's own library lacks here"
    assert (error.code, error.message) == ("plugin-missing", said)


def test_a_missing_library_is_named(tmp_path: Path, library: Path) -> None:
    manifest = manifest_of(library)
    library.unlink()
    with pytest.raises(EngineFileError) as caught:
        loading(tmp_path / "net.engine", manifest)
    [error] = caught.value.diagnostics
    assert error.code == "plugin-library"
    assert error.message == f"{tmp_path}/net.engine: it needs libmine.so for Mine, which is not there"
    assert "put it beside the engine, or say where it is" in str(error.hint)
    assert "trtdsl plugins build" not in str(error.hint)


# Each: a plugin's namespace, and whether it is trtdsl's own Mish.
@pytest.mark.parametrize(("namespace", "is_own"), [("trtdsl", True), ("", False)], ids=["its own", "another's"])
def test_trtdsls_own_library_can_be_compiled_where_it_is_missing(namespace: str, is_own: bool, tmp_path: Path) -> None:
    plugins = [{"name": "Mish", "version": "2", "namespace": namespace}]
    used = [{"library": "libtrtdsl_plugins.so", "sha256": "0", "plugins": plugins}]
    manifest = {"built_from": {"plugins": used}, "libraries": [str(tmp_path / "libtrtdsl_plugins.so")]}
    with pytest.raises(EngineFileError, match=r"it needs libtrtdsl_plugins\.so for Mish, which is not there") as caught:
        loading(tmp_path / "net.engine", manifest)
    assert ("`trtdsl plugins build` compiles" in str(caught.value.diagnostics[0].hint)) is is_own


def test_another_library_of_that_name_is_refused(tmp_path: Path, library: Path) -> None:
    manifest = manifest_of(library)
    library.write_bytes(library.read_bytes() + b"x")
    with pytest.raises(EngineFileError, match="is not the one that it was built with"):
        loading(tmp_path / "net.engine", manifest)


def test_plugins_that_a_library_no_longer_has(tmp_path: Path, library: Path) -> None:
    with pytest.raises(EngineFileError, match=r"it needs the plugin Lost 1, which libmine.so lacks here"):
        loading(tmp_path / "net.engine", manifest_of(library, "Lost"))


def test_engines_without_plugins_ask_nothing() -> None:
    assert load_plugins(Path("net.engine"), {"built_from": {"plugins": []}}, SimpleNamespace()) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(("plugin", "added"), [("Mish", True), ("Theirs", False)])
def test_the_compiled_library_is_loaded_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, added: bool
) -> None:
    asked: list[tuple[int, ...]] = []
    compiled_library = tmp_path / "libtrtdsl_plugins.so"
    stand_in = SimpleNamespace(cached_library=lambda version: asked.append(version) or compiled_library)
    monkeypatch.setitem(sys.modules, "trtdsl.library", stand_in)
    path = tmp_path / "net.yaml"
    path.write_text(
        "trtdsl: 1\ninputs: {x: [2, 3]}\nplugins: {libraries: libown.so}\n"
        f"layers:\n  - {{op: plugin, plugin: {plugin}}}\n"
    )
    network = trtdsl.load(path)
    graph = for_runtime(network.graph, network.typed, runtime_with())
    own = tmp_path / "libown.so"
    assert [use.path for use in graph.libraries] == ([compiled_library, own] if added else [own])
    assert asked == ([(10, 15, 1)] if added else [])
    without = for_runtime(network.graph, network.typed, Runtime("tensorrt", (10, 15, 1)))
    assert [use.path for use in without.libraries] == [own]


def test_bundled_plugins_are_written_down_where_their_library_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("trtdsl: 1\ninputs: {x: [2, 3]}\nlayers:\n  - {op: plugin, plugin: Mish}\n")
    runtime = runtime_with()
    typed = trtdsl.load(path).typed
    calls = [text for entry in record(typed, runtime) for text in entry.statements]
    assert "network.add_plugin_v3([x], [], plugin('Mish', '2', 'trtdsl', [], 'plugin'))" in calls[1]
    with pytest.raises(OpError, match="Mish is in trtdsl's own library of plugins, which is not loaded"):
        plugins_of(typed, runtime).settle(PluginUse("Mish"), ())


LIST = """
import sys
from click.testing import CliRunner
from trtdsl.cli.main import main
done = CliRunner().invoke(main, sys.argv[1:])
print("\\n" + done.output.replace("\\n", "|"))
"""


@every_version
def test_creators_are_listed(version: str) -> None:
    said = run_python(version, LIST, "plugins").splitlines()[-1]
    assert f"|{ {'8.6': 67, '10.15': 85}[version] } creators|trtdsl's own plugins are not compiled for" in said
    assert "ROIAlign_TRT" in said
    roi = run_python(version, LIST, "plugins", "ROIAlign_TRT").splitlines()[-1]
    assert "ROIAlign_TRT 1 (V2, TensorRT)|" in roi
    assert ("ROIAlign_TRT 2 (V3, TensorRT)|" in roi) is (version == "10.15")
    assert "  spatial_scale                   fp32|" in roi
    assert "did you mean `ROIAlign_TRT`?" in run_python(version, LIST, "plugins", "RoiAlign_TRT")
    assert "trtdsl's own plugins are not compiled for" in run_python(version, LIST, "plugins", "Mish")
