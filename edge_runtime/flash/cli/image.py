"""`catchment-flash image`: build, inspect, verify and write firmware images."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from protocols.command import teach
from protocols.errors import PeerError

if TYPE_CHECKING:
    from edge_runtime.slots.image import Image

_IMAGE = click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def group() -> None:
    """Make firmware images, look into them, and write them to machines and cards."""


@group.command(short_help="Make an image from a directory of wheels.")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The wheels of the program and of all that it needs, and no others.",
)
@click.option(
    "--defaults",
    type=click.Path(path_type=Path, file_okay=False),
    help="Default configuration: files that a new machine finds in its home.",
)
@click.option("--tier", type=click.Choice(["edge", "hub", "hq"]), required=True, help="What it runs.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The image's file; ID-VERSION.cfw by default.",
)
@click.option("--id", "id_", default="", help="The image's id; catchment-TIER by default.")
@click.option("--version", default="", help="Its semantic version; the program's by default.")
@click.option("--extra", "extras", multiple=True, help="A further extra of the program, such as onnx.")
@click.option("--python", default="", help="The Python it is for, as wheels name it; this one's by default.")
@click.option(
    "--platform", default="", help="The machine it is for, such as linux_aarch64; this one by default."
)
@_json
@teach
def build(
    wheels: Path,
    defaults: Path | None,
    tier: str,
    output: Path | None,
    id_: str,
    version: str,
    extras: tuple[str, ...],
    python: str,
    platform: str,
    as_json: bool,
) -> None:
    """Make an image from a directory of wheels: the same input gives the same bytes.

    Nothing is downloaded. Wheels come from where you build, for the machine's Python:

    \b
      pip wheel --no-deps --wheel-dir wheels .
      pip download --only-binary :all: --require-hashes --dest wheels -r requirements/edge.txt
      catchment-flash image build --wheels wheels --defaults defaults --tier edge
    """
    from edge_runtime.flash.build import Recipe
    from edge_runtime.flash.build import build as run_build
    from edge_runtime.slots.machine import machine, running_python

    recipe = Recipe(
        wheels, defaults, tier, python or running_python(), platform or machine(), id_, version, extras
    )
    image = run_build(recipe, output)
    if as_json:
        click.echo(json.dumps(_fields(image), ensure_ascii=False))
    else:
        click.echo(f"made {image.path}: {image.size / 1e6:,.1f} MB, {len(image.manifest.files)} files")
        click.echo(f"sha256 {image.sha256}")


@group.command(short_help="Show what is in an image.")
@_IMAGE
@click.option("--sbom", is_flag=True, help="Print the bill of materials, CycloneDX in JSON.")
@_json
@teach
def inspect(image: Path, sbom: bool, as_json: bool) -> None:
    """Show what an IMAGE says of itself, and its files, after checking all of it."""
    from edge_runtime.slots.store import SBOM

    opened = _opened(image)
    manifest = opened.manifest
    if sbom:
        click.echo(opened.read(SBOM).decode(), nl=False)
    elif as_json:
        files = [{"name": each.name, "sha256": each.sha256, "size": each.size} for each in manifest.files]
        click.echo(json.dumps({**_fields(opened), "files": files}, ensure_ascii=False))
    else:
        click.echo(f"{manifest.id} {manifest.version} for tier {manifest.tier}")
        click.echo(
            f"needs {manifest.python}, {manifest.platform}"
            + (f", glibc {manifest.glibc}" if manifest.glibc else "")
        )
        click.echo(f"data format {manifest.data_format}, from {manifest.data_oldest} on")
        click.echo(f"{opened.size / 1e6:,.1f} MB, unpacked {manifest.unpacked_bytes / 1e6:,.1f} MB")
        click.echo(f"sha256 {opened.sha256}")
        for each in manifest.files:
            click.echo(f"{each.size:>12,}  {each.name}")


@group.command(short_help="Check an image from end to end.")
@_IMAGE
@_json
@teach
def verify(image: Path, as_json: bool) -> None:
    """Check an IMAGE: its form, every file's hash, every file of its wheels, and whether it fits here.

    Exit code 1 when it is whole and does not fit this machine, 3 when it is damaged.
    """
    from edge_runtime.slots.image import Part
    from edge_runtime.slots.installing import misfits
    from edge_runtime.slots.wheel import Wheel

    opened = _opened(image)
    with opened.path.open("rb") as stream:
        for each in opened.manifest.files:
            if each.name.endswith(".whl"):
                Wheel(each.name, Part(stream, opened.at[each.name], each.size)).verify()
    found = [
        {"place": place, "found": value, "expected": expected}
        for place, value, expected in misfits(opened, None)
    ]
    if as_json:
        click.echo(json.dumps({**_fields(opened), "misfits": found}, ensure_ascii=False))
    else:
        click.echo(f"{opened.path} is whole: sha256 {opened.sha256}")
        for fault in found:
            words = f"{fault['place']} {fault['found']}; expected {fault['expected']}"
            click.echo(f"does not fit here: {words}", err=True)
    if found:
        raise SystemExit(1)


@group.command(short_help="Write an image to a new machine or a card.")
@_IMAGE
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="A directory, such as a mounted root; or a disk, or a file of one, which is overwritten.",
)
@_json
@teach
def write(image: Path, to: Path, as_json: bool) -> None:
    """Write an IMAGE to a new machine: as files in a directory, or as a whole disk.

    A directory becomes a machine's root (slots, home, boot.py); what is in its home stays. A disk
    becomes one ext4 file system labelled "catchment" with that root in it. A disk that is in use is
    refused, and what was written is read back and compared.

    \b
      catchment-flash image write edge.cfw --to /mnt/card/opt/catchment
      catchment-flash image write edge.cfw --to /dev/mmcblk0
    """
    from edge_runtime.flash import card, root

    show = _Progress(as_json)
    if card.is_disk(to):
        card.refuse_in_use(to)
    opened = _opened(image, lambda done, of: show("check", done, of))
    if card.is_disk(to):
        written = card.write_card(opened, to, show)
        told: dict[str, Any] = {**_fields(opened), "disk": str(to), "disk_sha256": written}
        words = f"wrote {opened.manifest.id} {opened.manifest.version} to {to}, label {card.LABEL}; verified"
    else:
        root.make_root(opened, to, lambda: show("unpack", 0, 1))
        told = {**_fields(opened), "root": str(to)}
        words = f"wrote {opened.manifest.id} {opened.manifest.version} to {to}\n"
        words += f"start it with: python3 -I -S -B {to / 'boot.py'}"
    show.end()
    click.echo(json.dumps(told, ensure_ascii=False) if as_json else words)


class _Progress:
    """One line on standard error that is rewritten, where people look; JSON lines where programs do.

    Args:
        as_json: Whether programs do.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._shown_at = 0.0
        self._open = False

    def __call__(self, stage: str, done: int, of: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < 0.2 and done != of:
            return
        self._shown_at = now
        if self._as_json:
            click.echo(json.dumps({"stage": stage, "done": done, "of": of}), err=True)
        elif sys.stderr.isatty():
            self._open = True
            click.echo(f"\r{stage:<8}{done / max(of, 1):>6.0%}", nl=False, err=True)

    def end(self) -> None:
        """Close the line."""
        if self._open:
            click.echo(err=True)


def _opened(path: Path, progress: Callable[[int, int], None] = lambda done, of: None) -> Image:
    """An image that was read from end to end.

    Raises:
        InputError: It is none, or damaged.
        StoreError: It cannot be read.
    """
    from edge_runtime.slots.image import not_an_image, open_image

    try:
        return open_image(path, progress)
    except PeerError as error:
        raise not_an_image(path, error) from error


def _fields(image: Image) -> dict[str, Any]:
    manifest = image.manifest
    names = (
        "id",
        "version",
        "tier",
        "python",
        "platform",
        "glibc",
        "data_format",
        "data_oldest",
        "unpacked_bytes",
    )
    return {
        "image": str(image.path),
        "sha256": image.sha256,
        "size": image.size,
        **{name: getattr(manifest, name) for name in names},
    }
