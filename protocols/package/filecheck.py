"""Whether a file that `app.toml` names is in the package, in its folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from protocols.tomlfile import KeyPath, TomlFile, suggest


def check_file(
    file: TomlFile,
    path: KeyPath,
    name: str,
    files: Collection[str],
    folder: str,
    suffixes: Sequence[str],
) -> None:
    """Note when a file that app.toml names is not in the package, or not in its folder."""
    if not name.startswith(folder) or not name.endswith(tuple(suffixes)):
        file.problem(path, name, " or ".join(f"{folder}NAME{suffix}" for suffix in suffixes))
    elif name not in files:
        there = [each for each in files if each.startswith(folder) and each.endswith(tuple(suffixes))]
        file.problem(path, name, f"a file of the package; {suggest(name, there)}")
