"""Text that an operator wrote: read with a bound, and with a word to say about its encoding.

Files come from editors and spreadsheets of three decades. UTF-8 with or without a byte
order mark is read; everything else is named for what it is, so that the remedy is clear.
"""

from __future__ import annotations

from pathlib import Path

from protocols.errors import InputError, Problem

_UTF8_MARK = b"\xef\xbb\xbf"
_BINARIES = (
    (b"PK\x03\x04", "an Excel workbook or another zip file", "name it .xlsx, or save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "save it as .xlsx or as CSV UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8"),
    (b"%PDF", "a PDF document", "choose the text file"),
)


def read_text(path: Path, file: str, bytes_max: int, missing: str, encoding: str = "") -> str:
    """Read a text file whole, without its byte order mark.

    Args:
        path: The file.
        file: Its name as the operator knows it, for the problems.
        bytes_max: Larger files are refused before they are read.
        missing: What to do when there is no such file, as a phrase: `"a file; run ..."`.
        encoding: An encoding to use instead of UTF-8, when the operator names one.

    Raises:
        InputError: It is missing, unreadable, too large, or not text in that encoding.
    """
    return decode_text(_read_bytes(path, file, bytes_max, missing), file, encoding)


def decode_text(data: bytes, file: str, encoding: str = "") -> str:
    """Text that was read already; see `read_text`.

    Raises:
        InputError: It is not text in that encoding.
    """
    for start, found, remedy in _BINARIES:
        if data.startswith(start) and not (encoding.lower().startswith("utf-16") and "UTF-16" in found):
            raise InputError([Problem(file, "line 1", found, f"UTF-8 text; {remedy}")])
    if encoding:
        return _decode_as(data, file, encoding)
    try:
        text = data.removeprefix(_UTF8_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError([_not_utf8(data, file, error)]) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError([Problem(file, f"line {line}", "a NUL byte", "UTF-8 text; save the file again")])
    return text


def _read_bytes(path: Path, file: str, bytes_max: int, missing: str) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(bytes_max + 1)
    except FileNotFoundError as error:
        raise InputError([Problem(file, "file", "", missing)]) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError([Problem(file, "file", reason, "a file that this user can read")]) from error
    if len(data) > bytes_max:
        size = path.stat().st_size
        raise InputError([Problem(file, "file", f"{size} bytes", f"at most {bytes_max} bytes")])
    return data


def _decode_as(data: bytes, file: str, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        expected = "an encoding such as utf-8, gb18030 or cp1252"
        raise InputError([Problem(file, "encoding", encoding, expected)]) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data.count(b"\n", 0, start) + 1
        found = f"byte 0x{data[start]:02x}" if start < len(data) else "an incomplete character"
        expected = f"text in {encoding}; save the file as UTF-8"
        raise InputError([Problem(file, f"line {line}", found, expected)]) from error


def _not_utf8(data: bytes, file: str, error: UnicodeDecodeError) -> Problem:
    """Say which encoding it looks like: GBK is what Chinese Windows writes by default."""
    line = data.count(b"\n", 0, error.start) + 1
    raw = data.split(b"\n")[line - 1]
    found = f"byte 0x{data[error.start]:02x}"
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        return Problem(file, f"line {line}", found, "UTF-8 text; save the file again as UTF-8")
    if any("\u4e00" <= character <= "\u9fff" for character in text):
        found = "text in GBK: " + "".join(c for c in text.strip() if c.isprintable())[:40]
        return Problem(
            file, f"line {line}", found, "UTF-8 text; save the file as UTF-8 (in Excel: CSV UTF-8)"
        )
    return Problem(file, f"line {line}", found, "UTF-8 text; save the file again as UTF-8")
