"""The plugins that come with trtdsl: where their folders are, and what each declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from trtdsl.plugins.declaration import NAMESPACE, PluginDeclaration
from trtdsl.plugins.reading import FILE, read_declaration
from trtdsl.plugins.use import PluginUse


def plugins_folder() -> Path:
    """The folder of the bundled library's sources: in the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled"
    return installed if installed.is_dir() else package.parents[1] / "plugins"


def declarations_in(folder: Path) -> dict[str, PluginDeclaration]:
    """What the plugins of a library's folder declare, by name. Raises NetworkError."""
    found = [read_declaration(path) for path in sorted(folder.glob(f"*/{FILE}"))]
    return {declaration.name: declaration for declaration in found}


@cache
def bundled_plugins() -> Mapping[str, PluginDeclaration]:
    """What the bundled plugins declare, by name; read once, as the files are part of the program."""
    return MappingProxyType(declarations_in(plugins_folder()))


def find_bundled(use: PluginUse) -> PluginDeclaration | None:
    """What a bundled plugin declares that is asked for: its names come first where no namespace is said."""
    return bundled_plugins().get(use.name) if use.namespace in (None, NAMESPACE) else None
