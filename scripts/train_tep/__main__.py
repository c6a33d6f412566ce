"""Trains the model of `apps/process-monitoring` and writes it into the app.

    python -m scripts.train_tep --data ../shared/data/tep

Reads the Tennessee Eastman reference runs of Russell, Chiang and Braatz (not part of this
repository): trains on `d00.dat`, writes `models/pca.onnx` and, in app.toml, the model's
declaration and the limits, and prints what the model does on the test runs `dNN_te.dat`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from protocols.errors import InputError, Problem
from scripts.train_tep.graph import onnx_bytes
from scripts.train_tep.pca import Pca, statistics, train
from scripts.train_tep.reference import APP, ONSET, Variable, read, read_training, variables

COMPONENTS = 9
CONFIDENCE = 0.99
ENVELOPE = 10.0
"""Standard deviations around the mean within which figures, not only alarms, mean something."""

BEGIN = "# -- from here on written by: python -m scripts.train_tep\n"


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--app", default=APP, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(data: Path, app: Path) -> None:
    """Train, write the model into the app, and print its figures on the test runs."""
    pca = train(read_training(data), COMPONENTS, CONFIDENCE)
    (app / "models").mkdir(exist_ok=True)
    (app / "models" / "pca.onnx").write_bytes(onnx_bytes(pca))
    manifest = app / "app.toml"
    manifest.write_text(with_model(manifest.read_text(encoding="utf-8"), pca), encoding="utf-8")
    click.echo(f"limits: T2 {pca.t2_limit}, SPE {pca.spe_limit}")
    for line in figures(data, pca):
        click.echo(line)


def with_model(manifest: str, pca: Pca) -> str:
    """A manifest with the model and its limits in place of those that were there."""
    text = manifest.partition(BEGIN)[0] + BEGIN + "".join(f"{line}\n" for line in _model(pca))
    for name, value in (("t2_limit", pca.t2_limit), ("spe_limit", pca.spe_limit)):
        text, count = re.subn(rf"(\[parameters\.{name}\]\n(?:.+\n)*?default = ).+", rf"\g<1>{value!r}", text)
        if count != 1:
            raise InputError([Problem("app.toml", name, "", "one table [parameters.NAME] with a default")])
    return text


def figures(data: Path, pca: Pca) -> Iterator[str]:
    """Shares of rows over the limits in the test runs."""
    for path in sorted(data.glob("d*_te.dat")):
        t2, spe = statistics(pca, read(path))
        over = [
            100 * np.mean(t2[_onset(path) :] > pca.t2_limit),
            100 * np.mean(spe[_onset(path) :] > pca.spe_limit),
        ]
        what = "false alarms" if _onset(path) == 0 else "detected after onset"
        yield f"{path.stem}: {what}: T2 {over[0]:.1f}%, SPE {over[1]:.1f}%"


def _onset(path: Path) -> int:
    return 0 if path.stem == "d00_te" else ONSET


def _model(pca: Pca) -> Iterator[str]:
    for variable in variables():
        title = f'{{en = "{variable.meaning}", zh = "{variable.meaning_zh}"}}'
        yield from (f"[inputs.{variable.name}]", f"title = {title}", "")
    yield from ("[[model]]", 'name = "pca"', 'file = "models/pca.onnx"', "time_budget_ms = 50")
    rows: Sequence[tuple[Variable, float, float]] = list(
        zip(variables(), pca.mean.tolist(), pca.deviation.tolist(), strict=True)
    )
    for variable, mean, deviation in rows:
        yield from ("", "[[model.input]]", f'name = "{variable.name}"')
        yield from (f'unit = "{variable.unit}"', f"offset = {mean!r}", f"scale = {deviation!r}")
        low, high = mean - ENVELOPE * deviation, mean + ENVELOPE * deviation
        yield from (f"low = {float(f'{low:.6g}')!r}", f"high = {float(f'{high:.6g}')!r}")
    for name in ("t2", "spe"):
        yield from ("", "[[model.output]]", f'name = "{name}"', 'unit = "1"')


if __name__ == "__main__":
    main()
