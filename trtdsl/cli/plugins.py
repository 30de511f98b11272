"""`trtdsl plugins`: a group, which lists plugins unless it is told to do more."""

from __future__ import annotations

import click

from trtdsl.cli.options import Group, color_option


class PluginsGroup(Group):
    """Takes whatever is no subcommand for the name of a plugin, or an option of the list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {*ctx.help_option_names, "--color", "--no-color"}
        first = next((argument for argument in args if argument not in own), None)
        if first not in self.subcommands and not set(args) & set(ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    "plugins",
    cls=PluginsGroup,
    subcommands={
        "list": "List plugins, or show the fields of one; what is done when no command is named.",
        "build": "Compile the library of plugins that comes with trtdsl, or one of your own.",
        "new": "Write a folder in which a new plugin begins.",
    },
    examples=[
        "trtdsl plugins list",
        "trtdsl plugins list ROIAlign_TRT",
        "trtdsl plugins list --library libmine.so",
        "trtdsl plugins build",
    ],
)
@color_option
def command() -> None:
    """List plugins with their fields, compile those of trtdsl, or begin one of your own."""
