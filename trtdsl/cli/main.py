"""The `trtdsl` command: finds the subcommands, and turns what goes wrong in them into messages and exit statuses."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from trtdsl.cli.console import error_count, show
from trtdsl.cli.options import color_option, write_examples
from trtdsl.errors import BuildInterrupted, Diagnostic, TrtdslError, reason_of, suggest
from trtdsl.version import __version__

FAILED = 1
"""The user's to mend: the network, its weights, the machine."""
BUG = 3
"""A mistake of trtdsl's own."""
INTERRUPTED = 130
"""Stopped by Ctrl-C; 128 and the signal's number, as shells count."""

# What `trtdsl --help` says of each command stands here, so that it need not import them all.
COMMANDS = {
    "build": "Build the engine of a network.",
    "validate": "Check a network; needs no TensorRT.",
    "run": "Run a network or an engine once and print what comes out.",
    "calibrate": "Write the scales that layers in int8 and fp8 need.",
    "bench": "Measure how long an engine takes on the GPU.",
    "compare": "Compare a network with the same one in fp32.",
    "export": "Write a network for other programs: ONNX, or a script of TensorRT calls.",
    "expand": "Print a network with params, modules and loops written out.",
    "explain": "Print the TensorRT calls that a network becomes.",
    "ops": "List the ops, or explain one.",
    "plugins": "List plugins with their fields, compile those of trtdsl, or begin one of your own.",
    "schema": "Print the JSON Schema that editors check networks with.",
    "tune": "Find types as cheap as a tolerance lets them be, and write them into the network's file.",
    "info": "Show what an engine was built from and with, and what would be different now.",
    "inspect": "List an engine's layers: kernels, formats, types, weights, and the YAML lines they come from.",
    "weights": "List the arrays of a weights file.",
}


class CommandGroup(click.Group):
    """Imports a command when it is called, and handles what it raises."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"trtdsl.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(
            formatter,
            [
                "trtdsl validate net.yaml   # is it right? needs neither TensorRT nor a GPU",
                "trtdsl build net.yaml      # make net.engine, and net.engine.json that tells what is in it",
                "trtdsl ops conv            # what can I write for a convolution?",
            ],
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = suggest(args[0], COMMANDS) or "`trtdsl --help` lists them"
            raise click.UsageError(f"there is no command `{args[0]}`; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            _exit(ctx, INTERRUPTED)
        except BuildInterrupted as error:
            click.echo("\n".join(f"interrupted: {entry.message}" for entry in error.diagnostics), err=True)
            _exit(ctx, INTERRUPTED)
        except TrtdslError as error:
            show(error.diagnostics)
            click.echo(error_count(error.diagnostics), err=True)
            _exit(ctx, FAILED)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own business: usage errors, --help, and a reader of our output that has seen enough
        except OSError as error:
            # A full disk, a folder that may not be written: the machine's state, whoever ran into it.
            place = "" if error.filename is None else f"{error.filename}: "
            show([Diagnostic("file", f"{place}{reason_of(error)}")])
            _exit(ctx, FAILED)
        except Exception as error:
            from trtdsl.cli.report import bug_report

            click.echo(bug_report(error), err=True)
            _exit(ctx, BUG)


def _exit(ctx: click.Context, status: int) -> NoReturn:
    """End the command; with it the process, at once, where a build that was interrupted goes on in its thread."""
    progress = sys.modules.get("trtdsl.engine.progress")
    if progress is not None and progress.is_under_way():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)
    ctx.exit(status)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="trtdsl %(version)s")
@color_option
def main() -> None:
    """TensorRT networks as YAML: one text file becomes an engine.

    Every command explains itself with --help. Exit status: 0 done, 1 something to mend in the network, its weights or
    the machine, 2 a wrong command line, 3 a bug in trtdsl, 130 interrupted.
    """
