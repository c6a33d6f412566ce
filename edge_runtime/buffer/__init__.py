"""The gateway's store between collecting and sending; `docs/buffer.md` tells it whole."""

from edge_runtime.buffer.buffer import Buffer
from edge_runtime.buffer.custody import Verdict
from edge_runtime.buffer.quota import Limits
from edge_runtime.buffer.values import Backlog, Chunk, Progress, Shared
from edge_runtime.store import Store

__all__ = ["Backlog", "Buffer", "Chunk", "Limits", "Progress", "Shared", "Store", "Verdict"]
