"""`python -m scripts.tep.device DATA DIRECTORY NAME...`: a Modbus server that plays runs, a row a scan.

A clock-driven device would lose rows whenever a scan is late. This one turns to the next row
when the last one was read whole and the first register is asked for again, so that a gateway
that reads at whatever pace sees each row exactly once, as a sample with the row's number.

Rules:
1. Each run is a unit id: register 0 has the row's number from 1 (32 bits), then the variables
   as doubles. What is asked again after a lost answer is the same row.
2. Until the file `start` is there, and after the last row, the number is 0.
3. When every run has been read to its end, the file `played` is made.
"""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import sys
from pathlib import Path

from scripts.plant.modbus import ModbusServer
from scripts.plant.serve import ADDRESS, HOST
from scripts.tep.runs import Run, read_runs

START, PLAYED = "start", "played"
HOLDING = 3
POLL_S = 0.05
_REQUEST = struct.Struct(">BBHH")


class Player:
    """One run being read.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._row = -1
        """The row that is shown; -1 before the first, as many as there are after the last."""
        self._whole = False
        """Whether what is shown has been read to its last register."""

    @property
    def played(self) -> bool:
        """Whether every row was read, and what comes after them as well."""
        return self._row == len(self._run.rows) and self._whole

    def ask(self, address: int, count: int, *, started: bool) -> bool:
        """Take note of a request; returns whether another row is shown now."""
        turned = address == 0 and self._whole and started and self._row < len(self._run.rows)
        if turned:
            self._row += 1
            self._whole = False
        self._whole = self._whole or address + count >= len(self.bank()) // 2
        return turned

    def bank(self) -> bytes:
        """The registers."""
        last = len(self._run.rows) - 1
        number = self._row + 1 if 0 <= self._row <= last else 0
        row = self._run.rows[min(max(self._row, 0), last)]
        values: bytes = row.astype(">f8").tobytes()
        return struct.pack(">I", number) + values


class Device(ModbusServer):
    """Plays runs to whoever reads.

    Args:
        runs: Unit ids are given from 1 on.
    """

    def __init__(self, runs: list[Run]) -> None:
        super().__init__(lambda _: None)
        self.started = False
        self._players = {unit: Player(run) for unit, run in enumerate(runs, 1)}
        self._shown = {(unit, HOLDING): player.bank() for unit, player in self._players.items()}
        self.show(self._shown, 0)

    @property
    def played(self) -> bool:
        """Whether all is over."""
        return all(player.played for player in self._players.values())

    def respond(self, frame: bytes, client: int) -> bytes:
        """Answer one whole frame, after turning to the next row where it is due."""
        unit, function, address, count = _REQUEST.unpack_from(frame.ljust(12, b"\0"), 6)
        player = self._players.get(unit)
        if player is not None and function == HOLDING and player.ask(address, count, started=self.started):
            self._shown[unit, HOLDING] = player.bank()
        return super().respond(frame, client)


async def serve(runs: list[Run], directory: Path) -> None:
    """Serve until SIGTERM; `address.json` says where."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    device = Device(runs)
    port = await device.start(HOST, 0)
    temporary = directory / f"{ADDRESS}.new"
    temporary.write_text(json.dumps({"host": HOST, "port": port}), encoding="utf-8")
    temporary.replace(directory / ADDRESS)
    while not stopping.is_set():
        device.started = device.started or (directory / START).exists()
        if device.played:
            (directory / PLAYED).touch()
        await asyncio.sleep(POLL_S)
    await device.stop()


if __name__ == "__main__":
    asyncio.run(serve(read_runs(Path(sys.argv[1]), sys.argv[3:]), Path(sys.argv[2])))
