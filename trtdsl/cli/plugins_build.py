"""`trtdsl plugins build`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from trtdsl.cli.options import Command, color_option

_VERSION = re.compile(r"\d+(\.\d+){1,3}")


@click.command(
    "build",
    cls=Command,
    examples=[
        "trtdsl plugins build",
        "trtdsl plugins build --download-headers",
        "trtdsl plugins build soft_shrink",
        "trtdsl plugins build --tensorrt-version 10.15 --headers include --architectures 89,90",
    ],
)
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@click.option("--tensorrt-version", metavar="VERSION", help="Compile for this version instead of the installed one.")
@click.option("--headers", type=click.Path(path_type=Path), help="The folder of TensorRT's headers.")
@click.option("--download-headers", is_flag=True, help="Fetch those that are not there from NVIDIA's repository.")
@click.option(
    "--architectures", metavar="LIST", help="Compute capabilities: 75,90; default: from 7.5 on, as the compiler allows."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the library to this file as well.")
@click.option("--force", is_flag=True, help="Compile even if the same library is there.")
@color_option
def command(
    folders: tuple[Path, ...],
    tensorrt_version: str | None,
    headers: Path | None,
    download_headers: bool,
    architectures: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Compile the library of plugins that comes with trtdsl, or one of your own.

    It is for the TensorRT that is installed. Without a FOLDER it has the plugins that come with trtdsl, which networks
    find by themselves. Folders, each with a plugin.yaml and kernels, make a library of your own, which a network names
    under `plugins`; it is written into the first of them, as libFOLDER.so. Needs nvcc and cmake (`pip install
    'trtdsl[plugins]'` brings both), a C++ compiler and TensorRT's headers; libraries are kept in the cache.
    """
    from trtdsl import library
    from trtdsl.engine.files import check_places

    if headers is not None and download_headers:
        raise click.UsageError("--headers says where the headers are: there is nothing to download")
    version = _parse_version(tensorrt_version) if tensorrt_version else _installed_version()
    chosen = _parse_architectures(architectures)
    sources = library.LibrarySources.of(folders) if folders else library.LibrarySources.bundled()
    toolchain = library.find_toolchain()
    include = _find_headers(version, headers, download_headers)
    if folders and output is None:
        output = folders[0] / sources.file
    if output is not None:
        check_places(output)
    path, was_there = library.build_library(
        sources,
        version,
        include,
        toolchain,
        architectures=chosen,
        force=force,
        before_compiling=lambda: click.echo(f"compiling with nvcc {toolchain.version} …", err=True),
    )
    if output is not None:
        library.copy_library(path, output)
        path = output
    names = ", ".join(declaration.name for declaration in sources.declarations)
    click.echo(f"{path}: {names}, for TensorRT {'.'.join(map(str, version[:2]))}{' (was there)' if was_there else ''}")


def _find_headers(version: tuple[int, ...], given: Path | None, may_download: bool) -> Path:
    from trtdsl import library
    from trtdsl.errors import BuildError

    try:
        return library.find_headers(version, given)
    except BuildError:
        if not may_download:
            raise
    return library.download_headers(version)


def _parse_version(text: str) -> tuple[int, ...]:
    if not _VERSION.fullmatch(text):
        raise click.BadParameter(
            f"`{text}`: a version has two numbers at least, 10.15", param_hint="--tensorrt-version"
        )
    return tuple(map(int, text.split(".")))


def _parse_architectures(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    parts = [part.strip().replace(".", "") for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise click.BadParameter(f"`{text}`: a list of numbers, 75,90", param_hint="--architectures")
    return tuple(map(int, parts))


def _installed_version() -> tuple[int, ...]:
    from trtdsl.errors import BuildError, RuntimeUnavailableError
    from trtdsl.targets.runtime import find_runtime

    try:
        return find_runtime("tensorrt").version
    except RuntimeUnavailableError as error:
        hint = "`--tensorrt-version 10.15` says for which it is to be; TensorRT-RTX takes no plugins"
        raise BuildError.of("runtime-missing", error.diagnostics[0].message, hint=hint) from None
