"""Writes docs/cli.md from the commands themselves, so that it cannot say anything else.

    python -m scripts.cli_docs            rewrite docs/cli.md (`make docs`)

A test compares the file with what this prints.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

PROGRAMS = {
    "catchment-edge": "edge_runtime.cli",
    "catchment-hub": "hub.cli",
    "catchment-hq": "headquarters.cli",
    "catchment-flash": "edge_runtime.flash.cli",
}
FILE = Path(__file__).parents[1] / "docs" / "cli.md"

HEAD = """\
# Commands

Made from the commands themselves by `make docs`; `--help` of each command says the same.

Commands work on a node's home directory, `--home DIR`, by default the current one, or on a machine's
root directory, `--root DIR`.

| exit code | meaning |
|---|---|
| 0 | done, nothing found wrong |
| 1 | the command ran and found a fault: a check or a verification failed |
| 2 | wrong usage, or wrong input: configuration, point table, keys |
| 3 | a peer or service cannot be reached |
| 4 | trouble with the local store: disk full, damaged |
| 130 | interrupted with Ctrl-C |
"""


def render() -> str:
    """The whole of docs/cli.md."""
    parts = [HEAD]
    for program, module in PROGRAMS.items():
        root = root_group(module)
        for path, command in walk((program,), root):
            parts.append(_section(path, command))
    return "\n".join(parts)


def root_group(module: str) -> click.Group:
    """The click group that `main` of a command-line module is, or calls."""
    loaded = importlib.import_module(module)
    if isinstance(loaded.main, click.Group):
        return loaded.main
    groups = [value for value in vars(loaded).values() if isinstance(value, click.Group)]
    below = [command for group in groups for command in group.commands.values()]
    (root,) = (group for group in groups if group not in below)
    return root


def walk(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and everything below it, parents first, in the order of their help."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk((*path, name), below)


def _section(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    lines = [f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}", "", f"    {usage}", ""]
    lines += [_text(command.help or ""), ""]
    if isinstance(command, click.Group):
        names = command.list_commands(context)
        below = [(name, command.get_command(context, name)) for name in names]
        lines += ["| command | what it does |", "|---|---|"]
        lines += [f"| `{name}` | {_cell(each.get_short_help_str(200))} |" for name, each in below if each]
        lines.append("")
    rows = [row for row in map(_option, command.get_params(context)) if row]
    if rows:
        lines += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _option(parameter: click.Parameter) -> str:
    if not isinstance(parameter, click.Option) or parameter.hidden or "--help" in parameter.opts:
        return ""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    takes = "" if parameter.is_flag or parameter.count else f" {_metavar(parameter)}"
    default = "required" if parameter.required else _default(parameter)
    return f"| {names}{takes} | {_cell(parameter.help or '')} | {default} |"


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "\\|".join(str(choice) for choice in option.type.choices)
    return option.type.name.upper()


def _default(option: click.Option) -> str:
    value = option.default
    if value is None or value is False or callable(value) or value == () or not str(value).strip():
        return ""
    # click marks "no default given" with a sentinel that is neither text, number nor path.
    return f"`{value}`" if isinstance(value, (str, int, float, Path)) else ""


def _text(help_: str) -> str:
    """Help text as Markdown: click's \\b marks a block that keeps its lines."""
    blocks = inspect.cleandoc(help_).split("\f")[0].split("\n\n")
    return "\n\n".join(
        "\n".join(f"    {line}" for line in block.splitlines()[1:]) if block.startswith("\b") else block
        for block in blocks
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
