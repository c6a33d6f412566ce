"""Bounds of firmware images and slots, each with its unit and its reason."""

from __future__ import annotations

IMAGE_BYTES_MAX = 1 << 30
"""One image: headquarters' wheels (Arrow, DuckDB, LLVM) have about 250 MB."""

IMAGE_FILES_MAX = 2000
"""Wheels and default files in one: headquarters has about 60 wheels."""

MANIFEST_BYTES_MAX = 1 << 20
"""`firmware.toml`: 2,000 files at 250 bytes, twice over."""

SBOM_BYTES_MAX = 8 << 20
"""The bill of materials: some kilobytes a wheel."""

PATH_CHARS_MAX = 240
"""A file's name with its folders, in an image or a wheel: file systems take 255 a part."""

UNPACKED_BYTES_MAX = 4 << 30
"""All wheels of one image unpacked; headquarters has about 1 GB."""

UNPACKED_FILES_MAX = 100_000
"""The same in files; headquarters has about 15,000."""

WHEEL_DIRECTORY_BYTES_MAX = 64 << 20
"""A wheel's own directory, which is read before anything is known of it: 100,000 entries at some
hundred bytes, with ample room."""

SPARE_BYTES = 32 << 20
"""Room that is left beside an unpacked image: compiled files of what is unpacked, state, logs."""

COMPILED_PART = 0.5
"""Compiled files take up to half as much again as sources and libraries together; a tenth in practice."""

TRIES_MAX = 10
"""Tries that a new firmware may have."""

CUTS_BEFORE_HOLD = 3
"""Unseen ends of a trial in a row, after which the good slot runs a while before the next."""

HOLD_FIRST_S = 3600.0
"""That while; it doubles with every further unseen end."""

HOLD_LONGEST_S = 86_400.0
"""At most a day: a gateway without steady power still tries a new firmware now and then."""

SPOOL_FILES_MAX = 200
"""Events that wait for a program to tell them; a crash loop at the longest pause makes 1,440 a day."""

assert MANIFEST_BYTES_MAX < IMAGE_BYTES_MAX
assert IMAGE_FILES_MAX < 65_535, "the form of the archive counts entries in 16 bits"
assert IMAGE_BYTES_MAX < 1 << 32, "the form of the archive counts bytes in 32 bits"
assert HOLD_FIRST_S <= HOLD_LONGEST_S
