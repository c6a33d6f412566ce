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
    except SyntaxError as found:
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
        except (OSError, SyntaxError) as found:
            error = found
        if error is not None:
            sys.print_exception(error, sys.stdout)
    return names


def read_byte():
    """The next byte. An interrupt that comes here was meant for what has ended just now."""
    while True:
        try:
            return source.read(1)
        except KeyboardInterrupt:
            pass


def serve():
    names = boot(True)
    sink.write(BANNER)
    raw, line = False, b""
    while True:
        byte = read_byte()
        if not byte:
            return
        if byte == b"\x01":
            raw, line = True, b""
            sink.write(b"\r\n" + RAW)
        elif byte == b"\x02":
            raw, line = False, b""
            sink.write(BANNER)
        elif byte == b"\x03":
            line = b""
            if not raw:
                sink.write(b"\r\n>>> ")
        elif byte == b"\x04":
            if raw and line:
                sink.write(b"OK")
                execute(line, names)
                line = b""
            elif raw:
                sink.write(b"OK\r\nMPY: soft reboot\r\n")
                names = boot(False)
                sink.write(RAW)
            elif not line:
                sink.write(b"\r\nMPY: soft reboot\r\n")
                names = boot(True)
                sink.write(BANNER)
        elif byte == b"\x05" and raw and not line:
            # Raw paste, refused: whoever asks goes on as without it.
            source.read(2)
            sink.write(b"R\x00")
        elif raw:
            line += byte
        elif byte == b"\r":
            line = b""
            sink.write(b"\r\n>>> ")
        else:
            line += byte


mount(sys.argv[1])
serve()
