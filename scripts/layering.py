#!/usr/bin/env python3
"""Checks that imports inside trtdsl go one way, and that each heavy dependency is imported in one place only.

    python scripts/layering.py [ROOT]

Prints each import that breaks a rule, with the rule and its reason. Imports inside functions and under
`if TYPE_CHECKING` count as well: what a module knows of is what it depends on, whenever that is loaded.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layer:
    """Modules that may import each other and those of lower layers, and why they may not look higher."""

    name: str
    modules: tuple[str, ...]
    reason: str


# The lowest first.
LAYERS = (
    Layer("version", ("trtdsl.version",), "it is read by whoever asks, packaging too"),
    Layer("places", ("trtdsl.source",), "everything points into files, so files and places know of nothing"),
    Layer("names", ("trtdsl.names",), "what may be a name is a rule about text"),
    Layer("errors", ("trtdsl.errors", "trtdsl.codes"), "every stage reports, so reporting knows of no stage"),
    Layer("types", ("trtdsl.types",), "data types and dimensions are words that all later stages share"),
    Layer("expressions", ("trtdsl.expressions",), "an expression gives a value, whoever asked for it"),
    Layer("tree", ("trtdsl.nodes", "trtdsl.scalars"), "the tree is what YAML says, whatever it may mean"),
    Layer("read", ("trtdsl.reader",), "reading knows YAML and nothing of networks"),
    Layer("plugins", ("trtdsl.plugins",), "what plugins declare and take is the same for all who use them"),
    Layer("modules", ("trtdsl.modules", "trtdsl.includes"), "what a module declares is told before it is used"),
    Layer("weights", ("trtdsl.weights",), "weights are arrays with keys, wherever they are used"),
    Layer("ops", ("trtdsl.ops",), "an op states what it is; those who use it read the statement"),
    Layer("check", ("trtdsl.build_options", "trtdsl.schema"), "the schema is made from the ops' own declarations"),
    Layer("expand", ("trtdsl.flat", "trtdsl.expand"), "expanding is the last stage that knows modules and loops"),
    Layer("graph", ("trtdsl.graph",), "the graph is pure data that all stages after it share"),
    Layer("profiles", ("trtdsl.profiles",), "for which sizes an engine is tuned follows from options and inputs alone"),
    Layer("bind", ("trtdsl.bind",), "binding is the step from the language to the graph"),
    Layer("infer", ("trtdsl.infer",), "shapes follow from the graph alone"),
    Layer(
        "implement",
        ("trtdsl.fusion", "trtdsl.implementation"),
        "plugins are chosen on shapes that are known, and typed as all layers are",
    ),
    Layer("quantization", ("trtdsl.quantization",), "what is quantised is typed like all that layers read"),
    Layer("precision", ("trtdsl.precision",), "typing runs on shapes that are known"),
    Layer("check weights", ("trtdsl.check_weights",), "elements are looked at once it is known what they become"),
    Layer("targets", ("trtdsl.targets",), "a target reads the typed graph and is read by no stage before it"),
    Layer(
        "engine",
        ("trtdsl.engine", "trtdsl.runtime"),
        "files, caches, builds and runs come after the network is decided",
    ),
    Layer("library", ("trtdsl.library",), "plugins are compiled beside networks, and no stage of these compiles"),
    Layer(
        "use",
        (
            "trtdsl.bundled_library",
            "trtdsl.calibration",
            "trtdsl.export",
            "trtdsl.outputs",
            "trtdsl.overrides",
            "trtdsl.present",
            "trtdsl.running",
            "trtdsl.tuning",
        ),
        "what is exported, run and compared is settled before",
    ),
    Layer("api", ("trtdsl", "trtdsl.api", "trtdsl.network"), "the Python interface strings the stages together"),
    Layer("cli", ("trtdsl.cli", "trtdsl.__main__"), "the command line only calls the interface"),
)


@dataclass(frozen=True)
class Outside:
    """Packages that only some modules may import."""

    packages: tuple[str, ...]
    modules: tuple[str, ...]
    reason: str


OUTSIDE = (
    Outside(
        ("tensorrt", "tensorrt_bindings", "tensorrt_rtx"),
        ("trtdsl.targets.runtime",),
        "everything has to load where no TensorRT is installed, and to go by the one that was chosen",
    ),
    Outside(("onnx",), ("trtdsl.targets.onnx",), "no other part needs ONNX, nor should its users"),
    Outside(("onnxruntime",), ("trtdsl.targets.reference",), "engines are made without it, and it is large"),
    Outside(("PIL",), ("trtdsl.running.images",), "images are one kind of input among others"),
    Outside(("cuda",), ("trtdsl.runtime.device",), "engines are built without it, and often where no GPU is"),
    Outside(("click",), ("trtdsl.cli",), "the stages are a library, which has no command line"),
    Outside(("rich",), ("trtdsl.cli.progress",), "it takes longer to import than `trtdsl --help` may take"),
    Outside(("yaml",), ("trtdsl.reader",), "only nodes of the reader know the line they came from"),
    Outside(("jsonschema",), ("trtdsl.schema",), "its errors become ours, with places, at one spot"),
    Outside(("safetensors",), ("trtdsl.weights",), "file formats of weights end there"),
    Outside(
        ("importlib",),
        ("trtdsl", "trtdsl.targets.runtime", "trtdsl.cli.main", "trtdsl.cli.options", "trtdsl.cli.report"),
        "an import by name hides from this check",
    ),
)


@dataclass(frozen=True)
class Import:
    """One imported name and where that is written."""

    path: Path
    line: int
    importer: str
    imported: str


def violations(root: Path) -> list[str]:
    """A message for every import under `root/trtdsl` that breaks a rule, and every module that has no layer."""
    found = []
    for path in sorted((root / "trtdsl").rglob("*.py")):
        module = _module_name(path, root)
        if _layer_of(module) is None:
            found.append(f"{path}:1: {module} belongs to no layer; name it in LAYERS of scripts/layering.py")
            continue
        for entry in _imports(path, module):
            message = _inward(entry) or _outward(entry)
            if message:
                found.append(f"{entry.path}:{entry.line}: {message}")
    return found


def _inward(entry: Import) -> str | None:
    """What is wrong with an import of another module of ours."""
    if entry.imported.partition(".")[0] != "trtdsl":
        return None
    importer, imported = _layer_of(entry.importer), _layer_of(entry.imported)
    if importer is None or imported is None or LAYERS.index(imported) <= LAYERS.index(importer):
        return None
    return (
        f"{entry.importer} ({importer.name}) imports {entry.imported} ({imported.name}), which is above it: "
        f"{importer.reason}"
    )


def _outward(entry: Import) -> str | None:
    """What is wrong with an import of another package."""
    package = entry.imported.partition(".")[0]
    for rule in OUTSIDE:
        if package in rule.packages and not any(_lies_in(entry.importer, module) for module in rule.modules):
            return f"{entry.importer} imports {package}, which only {', '.join(rule.modules)} may: {rule.reason}"
    return None


def _layer_of(module: str) -> Layer | None:
    """The layer that names a module, or the package it lies in."""
    while module:
        for layer in LAYERS:
            if module in layer.modules:
                # The package itself is the interface; its modules have layers of their own.
                return layer
        module = module.rpartition(".")[0]
        if module == "trtdsl":
            return None
    return None


def _lies_in(module: str, package: str) -> bool:
    return module == package or (package != "trtdsl" and module.startswith(f"{package}."))


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path, module: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, module, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path, module)
            for alias in node.names:
                # `from trtdsl import nodes` names a module, `from trtdsl.nodes import plain` something in one.
                inner = f"{base}.{alias.name}"
                yield Import(path, node.lineno, module, inner if base == "trtdsl" and _layer_of(inner) else base)


def _absolute(node: ast.ImportFrom, path: Path, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def main() -> int:
    """Print all violations; the exit status says whether there are any."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    found = violations(root)
    print("\n".join(found) if found else "layering: imports go one way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
