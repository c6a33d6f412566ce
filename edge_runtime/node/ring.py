"""The board's log: lines in two files of bounded size, the older of which goes when the newer is full.

A line is `SECONDS LEVEL TEXT`, seconds since the board started. Every line is also printed, for who
watches the port.
"""

import os


class Ring:
    """A log.

    Args:
        folder: Where `node.log` and `node.log.old` lie; ends in a slash, or is empty.
        bytes_max: Bytes of both together.
        out: Takes each line to show it.
    """

    def __init__(self, folder: str, bytes_max: int, out) -> None:
        self._path = folder + "node.log"
        self._half = bytes_max // 2
        self._out = out
        try:
            self._size = os.stat(self._path)[6]
        except OSError:
            self._size = 0

    def say(self, now_ms: int, level: str, text: str) -> None:
        """Write a line; a disk that is full or broken stops nothing."""
        line = "%d.%03d %s %s\n" % (now_ms // 1000, now_ms % 1000, level, text.replace("\n", " | "))
        self._out(line)
        data = line.encode()
        try:
            if self._size + len(data) > self._half:
                self._turn()
            with open(self._path, "ab") as file:
                file.write(data)
            self._size += len(data)
        except OSError:
            pass

    def _turn(self) -> None:
        old = self._path + ".old"
        try:
            os.remove(old)
        except OSError:
            pass
        if self._size:
            os.rename(self._path, old)
        self._size = 0
