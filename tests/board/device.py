# Runs under MicroPython's unix port: a board with a raw REPL on standard input and output, and a disk
# (littlefs) in a file that outlasts it. Descriptor 3 tells when it executes: Ctrl-C is SIGINT then.
# ruff: noqa: PTH123, SIM115
# mypy: ignore-errors
import os
import sys

import vfs

BLOCK = 4096
BLOCKS = 64


class Flash:
    """A block device in a file."""

    def __init__(self, path):
        try:
            self.file = open(path, "r+b")
        except OSError:
            with open(path, "wb") as file:
                for _ in range(BLOCKS):
                    file.write(b"\xff" * BLOCK)
            self.file = open(path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * BLOCK + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        self.file.seek(block * BLOCK + offset)
        self.file.write(buffer)

    def ioctl(self, what, block):
        if what == 4:
            return BLOCKS
        if what == 5:
            return BLOCK
        if what == 6:
            self.file.seek(block * BLOCK)
            self.file.write(b"\xff" * BLOCK)
        if what == 3:
            self.file.flush()
        return 0


def mount(path):
    device = Flash(path)
    try:
        disk = vfs.VfsLfs2(device)
    except OSError:
        vfs.VfsLfs2.mkfs(device)
        disk = vfs.VfsLfs2(device)
    vfs.mount(disk, "/flash")
    os.chdir("/flash")
    sys.path[:] = ["", "/flash", "/flash/lib", ".frozen"]


source, sink, told = sys.stdin.buffer, sys.stdout.buffer, open(3, "wb")
BANNER = b"\r\nMicroPython board\r\n>>> "
RAW = b"raw REPL; CTRL-B to exit\r\n>"
KEPT = ("os", "sys", "vfs")


def run(code, names):
    """Run code; returns what it raised. Ctrl-C may come until it is over."""
    try:
        told.write(b"B")
        exec(code, names)
        error = None
    except BaseException as found:
        error = found
    told.write(b"I")
    return error


def execute(text, names):
    """Run code, then say what the raw REPL says."""
    try:
        error = run(compile(text, "<stdin>", "exec"), names)
    except Exception as found:
        error = found
    sink.write(b"\x04")
    if error is not None:
        sys.print_exception(error, sys.stdout)
    sink.write(b"\x04>")


def boot(run_main):
    """A soft reset: nothing of what ran is left. In the raw REPL main.py is not run."""
    for name in list(sys.modules):
        if name not in KEPT:
            sys.modules.pop(name, None)
    names = {"__name__": "__main__"}
    if run_main:
        try:
            with open("main.py") as file:
                error = run(compile(file.read(), "main.py", "exec"), names)
        except Exception as found:
            error = found
        if error is not None:
            sys.print_exception(error, sys.stdout)
    return names


class Repl:
    """What is between two bytes."""

    def __init__(self):
        self.names = boot(True)
        self.raw = False
        self.line = b""
        sink.write(BANNER)

    def serve(self):
        """Until there is no more line."""
        while True:
            byte = source.read(1)
            if not byte:
                return
            self.take(byte)

    def take(self, byte):
        if byte == b"\x01":
            self.raw, self.line = True, b""
            sink.write(b"\r\n" + RAW)
        elif byte == b"\x02":
            self.raw, self.line = False, b""
            sink.write(BANNER)
        elif byte == b"\x03":
            self.line = b""
            if not self.raw:
                sink.write(b"\r\n>>> ")
        elif byte == b"\x04":
            line, self.line = self.line, b""
            if self.raw and line:
                sink.write(b"OK")
                execute(line, self.names)
            elif not line:
                self.reset()
        elif byte == b"\x05" and self.raw and not self.line:
            # Raw paste, refused: whoever asks goes on as without it.
            source.read(2)
            sink.write(b"R\x00")
        elif byte == b"\r" and not self.raw:
            self.line = b""
            sink.write(b"\r\n>>> ")
        else:
            self.line += byte

    def reset(self):
        sink.write((b"OK" if self.raw else b"") + b"\r\nMPY: soft reboot\r\n")
        self.names = boot(not self.raw)
        sink.write(RAW if self.raw else BANNER)


mount(sys.argv[1])
repl = Repl()
while True:
    try:
        repl.serve()
        break
    except KeyboardInterrupt:
        pass  # it was meant for what has ended just now
