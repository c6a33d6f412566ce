"""The provisioning console: what travels on a serial cable between an engineer and a gateway.

`frames` makes bytes of frames and finds frames in bytes, `flow` makes a stream of messages of
frames, `host` and `gateway` are the two ends, `calls` are the messages. Byte by byte, with test
vectors: `docs/flashing.md`.
"""
