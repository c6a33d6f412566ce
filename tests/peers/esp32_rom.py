"""The boot loader in an ESP32's ROM, as far as esptool needs it to write and check an image.

It speaks on a pseudo-terminal; what is written lands in `flash`.

Source: Espressif's "Serial Protocol" of esptool: SLIP frames, requests `00 OP LEN CHECK`, answers
`01 OP LEN VALUE` with a status of four bytes at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import select
import struct
import threading
import tty
import zlib
from types import TracebackType

FLASH_BYTES = 4 << 20
CHIP_MAGIC_REGISTER, ESP32 = 0x40001000, 0x00F01D83
SPI_COMMAND, SPI_DATA = 0x3FF42000, 0x3FF42080
FLASH_ID_4MB = 0x1640C8
CHECKSUM_SEED = 0xEF
BAD_CHECKSUM, UNKNOWN = 0x07, 0x05

END, ESCAPE = b"\xc0", b"\xdb"


class Esp32Rom:
    """A chip in its boot loader, until it is closed."""

    def __init__(self) -> None:
        self.flash = bytearray(b"\xff" * FLASH_BYTES)
        self._registers = {CHIP_MAGIC_REGISTER: ESP32}
        self._at = 0
        self._inflate: zlib._Decompress | None = None
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="rom", daemon=True)
        self._thread.start()

    def __enter__(self) -> Esp32Rom:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        kept = b""
        while not self._closed:
            if not select.select([self._master], [], [], 0.1)[0]:
                continue
            kept += os.read(self._master, 65_536)
            *packets, kept = kept.split(END)
            for packet in packets:
                if len(packet) >= 8:
                    self._answer(packet.replace(b"\xdb\xdc", END).replace(b"\xdb\xdd", ESCAPE))

    def _answer(self, packet: bytes) -> None:
        operation, body = packet[1], packet[8:]
        [check] = struct.unpack_from("<I", packet, 4)
        handler = getattr(self, f"_operation_{operation:02x}", None)
        if packet[0] != 0:
            return
        if handler is None:
            self._send(operation, error=UNKNOWN)
        else:
            handler(operation, body, check)

    def _send(self, operation: int, value: int = 0, body: bytes = b"", error: int = 0) -> None:
        status = bytes([1 if error else 0, error, 0, 0])
        packet = struct.pack("<BBHI", 1, operation, len(body) + 4, value) + body + status
        stuffed = packet.replace(ESCAPE, b"\xdb\xdd").replace(END, b"\xdb\xdc")
        data = END + stuffed + END
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._master, data) :]

    def _operation_08(self, operation: int, body: bytes, check: int) -> None:
        """SYNC is answered eight times."""
        for _ in range(8):
            self._send(operation, 0x20120707)

    def _operation_0a(self, operation: int, body: bytes, check: int) -> None:
        """READ_REG."""
        [address] = struct.unpack_from("<I", body)
        self._send(operation, self._registers.get(address, 0))

    def _operation_09(self, operation: int, body: bytes, check: int) -> None:
        """WRITE_REG; a command to the flash chip is done at once, and asked for is only its id."""
        address, value = struct.unpack_from("<II", body)
        if address == SPI_COMMAND:
            value = 0
            self._registers[SPI_DATA] = FLASH_ID_4MB
        self._registers[address] = value
        self._send(operation)

    def _accept(self, operation: int, body: bytes, check: int) -> None:
        self._send(operation)

    _operation_0b = _operation_0d = _operation_0f = _operation_04 = _operation_12 = _accept
    """SPI_SET_PARAMS, SPI_ATTACH, CHANGE_BAUDRATE, FLASH_END, FLASH_DEFL_END."""

    def _operation_02(self, operation: int, body: bytes, check: int) -> None:
        """FLASH_BEGIN erases."""
        size, _, _, self._at = struct.unpack_from("<IIII", body)
        self.flash[self._at : self._at + size] = b"\xff" * size
        self._inflate = None
        self._send(operation)

    def _operation_10(self, operation: int, body: bytes, check: int) -> None:
        """FLASH_DEFL_BEGIN."""
        self._operation_02(operation, body, check)
        self._inflate = zlib.decompressobj()

    def _operation_03(self, operation: int, body: bytes, check: int) -> None:
        """FLASH_DATA, FLASH_DEFL_DATA: refused when the checksum does not hold."""
        [size] = struct.unpack_from("<I", body)
        data = body[16 : 16 + size]
        found = CHECKSUM_SEED
        for byte in data:
            found ^= byte
        if found != check:
            self._send(operation, error=BAD_CHECKSUM)
            return
        if self._inflate is not None:
            data = self._inflate.decompress(data)
        self.flash[self._at : self._at + len(data)] = data
        self._at += len(data)
        self._send(operation)

    _operation_11 = _operation_03

    def _operation_13(self, operation: int, body: bytes, check: int) -> None:
        """SPI_FLASH_MD5, as the ROM writes it: in hexadecimal digits."""
        address, size = struct.unpack_from("<II", body)
        found = hashlib.md5(self.flash[address : address + size], usedforsecurity=False)
        self._send(operation, body=found.hexdigest().encode())
