"""A MicroPython board's files: what it is, what it has, and changing that so that nothing is torn.

Rules:
1. A file is written beside (`NAME.new`), its hash compared on the board, and only then renamed.
2. What has the right hash is not written again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from edge_runtime.flash.rawrepl import BoardError, RawRepl
from protocols.errors import DeviceError, InputError, IntegrityError, Problem

Progress = Callable[[str, int, int], None]
"""Told of a file's name, bytes done and bytes in all."""

HASH_S = 5.0
"""Hashing some tens of kilobytes on the slowest chip."""

WRITE_S = 2.0
"""Erasing a page of flash, and moving what it held."""

RESTARTS_MAX = 20
"""Of a board within one call: more, and its supply or its program is at fault."""

_TOOLS = """
import os,sys
try:
 from hashlib import sha256
except ImportError:
 sha256=None
try:
 from binascii import a2b_base64 as d,hexlify
except ImportError:
 d=None
def F():
 c=sys.modules.get('catchment_node.clock')
 if c and c.DOG:
  c.DOG.feed()
def h(p):
 F()
 try:
  f=open(p,'rb')
 except OSError:
  return ''
 x=sha256()
 while 1:
  b=f.read(256)
  if not b:
   break
  x.update(b)
 f.close()
 return hexlify(x.digest()).decode()
def w(o,b):
 F()
 f=open(P,'r+b' if o else 'wb')
 f.seek(o)
 f.write(d(b))
 f.close()
def z(p):
 try:
  return os.stat(p)[6]
 except OSError:
  return -1
def m(p):
 try:
  os.rename(p+'.new',p)
 except OSError:
  try:
   os.remove(p)
  except OSError:
   pass
  os.rename(p+'.new',p)
def k(p):
 try:
  os.mkdir(p)
 except OSError:
  pass
def e(p):
 try:
  os.remove(p)
 except OSError:
  pass
def g(p,o,n):
 f=open(p,'rb')
 f.seek(o)
 b=f.read(n)
 f.close()
 return b
""".strip()

_PROBE = """
import sys
try:
 import os
except ImportError:
 os=None
i=sys.implementation
v=os.statvfs('') if hasattr(os,'statvfs') else (0,)*10
r=(i[0],tuple(i[1])[:3],getattr(i,'_mpy',0)&255,1e300*1e300!=1e300,getattr(i,'_machine',sys.platform),v[0]*v[3],hasattr(os,'rename'))
""".strip()


class About(NamedTuple):
    """What a board is.

    Args:
        implementation: `micropython`, as a rule.
        version: Of it.
        mpy: Version of byte code that it reads, 0 for none.
        lreal: Whether its floats have 64 bits.
        machine: Its name.
        free_bytes: Room on its disk; 0 where it does not tell.
        renames: Whether files can be renamed.
    """

    implementation: str
    version: tuple[int, ...]
    mpy: int
    lreal: bool
    machine: str
    free_bytes: int
    renames: bool


class Board:
    """The files of a board.

    Args:
        repl: Its raw REPL.
    """

    def __init__(self, repl: RawRepl) -> None:
        self._repl = repl
        self._tools = False

    def about(self) -> About:
        """Ask the board what it is.

        Raises:
            DeviceError: No board answers.
        """
        found = self._repl.long_call(_PROBE)
        return About(found[0], tuple(found[1]), *found[2:])

    def hash_of(self, name: str) -> str:
        """SHA-256 of a file in hexadecimal digits; empty when there is none."""
        return str(self._do(f"r=h({name!r})", HASH_S))

    def read(self, name: str) -> bytes | None:
        """A file's content; `None` when there is none."""
        size = int(self._do(f"r=z({name!r})"))
        if size < 0:
            return None
        data = b""
        while len(data) < size:
            piece = self._do(f"r=g({name!r},{len(data)},{self._repl.piece})")
            if not piece:
                break  # it became shorter meanwhile
            data += piece
        return data

    def write(self, name: str, data: bytes, progress: Progress | None = None) -> None:
        """Write a file beside, compare its hash, and rename it.

        Raises:
            DeviceError: The board has no room, or does not answer.
            IntegrityError: What the board has read back is not what was written.
        """
        self.write_beside(name, data, progress)
        self.rename(name)

    def write_beside(self, name: str, data: bytes, progress: Progress | None = None) -> None:
        """Write `NAME.new`, and compare its hash; see `write`."""
        for index, character in enumerate(name):
            if character == "/" and index:
                self._do(f"k({name[:index]!r})")
        wanted = hashlib.sha256(data).hexdigest()
        if self.hash_of(f"{name}.new") == wanted:
            return
        chosen = f"P={f'{name}.new'!r}"  # once, so that each piece need not name it
        self._do(chosen)
        at = 0
        while at < len(data) or not at:  # an empty file is written too
            piece = data[at : at + self._repl.piece]
            text = base64.b64encode(piece).decode()
            self._do(f"w({at},{text!r})", WRITE_S, chosen)
            at += len(piece) or 1
            if progress:
                progress(name, min(at, len(data)), len(data))
        found = self.hash_of(f"{name}.new")
        if found != wanted:
            self.remove(f"{name}.new")
            raise IntegrityError(
                f"{name}: the board has {found[:12]}, expected {wanted[:12]}; flash it again"
            )

    def rename(self, name: str) -> None:
        """Put `NAME.new` in the place of `NAME`; done already counts as done."""
        temporary = f"{name}.new"
        self._do(f"m({name!r})if z({temporary!r})>=0 else 0", WRITE_S)

    def move(self, old: str, new: str) -> None:
        """Rename a file; one that is not there stays away."""
        self._do(f"r=(e({new!r}),os.rename({old!r},{new!r}))and 1 if z({old!r})>=0 else 0", WRITE_S)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._do(f"e({name!r})", WRITE_S)

    def _do(self, source: str, work_s: float = 0.2, before: str = "") -> Any:
        """Execute a source with the tools; `before` is what it needs of an earlier one."""
        for _ in range(RESTARTS_MAX):
            try:
                if not self._tools:
                    self._bring_tools()
                    if before:
                        self._repl.call(before)
                return self._repl.call(source, work_s)
            except BoardError as error:
                # A board that was started anew has lost the tools, and nothing else.
                if "NameError" not in str(error):
                    raise
                self._tools = False
        raise DeviceError(f"expected a board that stays on, got one that started anew {RESTARTS_MAX} times")

    def _bring_tools(self) -> None:
        self._repl.long_call(_TOOLS, 1.0)
        if not self._repl.call("r=bool(sha256 and d)"):
            expected = "a board with hashlib and binascii; build its MicroPython with them"
            raise InputError([Problem("board", "MicroPython", "no sha256 or base64", expected)])
        self._tools = True
