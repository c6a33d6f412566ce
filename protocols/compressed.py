"""zstd frames from a peer, undone in bounded memory.

A frame must state its content size: that claim is compared with the bound before anything
is allocated, and zstd itself then holds the content to the claim.

Source: RFC 8878 (Zstandard), 3.1.1.1.
"""

from __future__ import annotations

import zstandard

from protocols.errors import LimitError, MalformedError

WINDOW_MIN = 1 << 20
"""A window up to here is always allowed: a compressor may state its usual one for a small content."""


def inflate(payload: bytes, bytes_max: int) -> bytes:
    """The content of exactly one frame.

    Args:
        payload: What a peer sent.
        bytes_max: Largest content allowed, in bytes.

    Raises:
        MalformedError: Not one whole frame, or one without content size or with a dictionary.
        LimitError: The frame claims a larger content, or needs a larger window.

    >>> inflate(zstandard.ZstdCompressor().compress(b"tide"), 4)
    b'tide'
    """
    try:
        frame = zstandard.get_frame_parameters(payload)
    except zstandard.ZstdError as error:
        raise MalformedError(f"expected a zstd frame, got {len(payload)} other bytes") from error
    if frame.content_size == zstandard.CONTENTSIZE_UNKNOWN or frame.dict_id:
        raise MalformedError("expected a zstd frame with its content size and no dictionary")
    if frame.content_size > bytes_max:
        raise LimitError(f"expected at most {bytes_max} bytes of content, frame claims {frame.content_size}")
    if frame.window_size > max(bytes_max, WINDOW_MIN):
        raise LimitError(f"expected a window within {bytes_max} bytes, frame asks for {frame.window_size}")
    try:
        # One for each call: a decompressor must not be shared by threads, and costs 10 us.
        return zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedError(f"expected one whole zstd frame: {error}") from error
