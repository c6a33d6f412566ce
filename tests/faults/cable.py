"""`python -m tests.faults.cable PORT TARGET FILE`: a network cable that a test may pull.

Forwards connections on PORT to TARGET, both on loopback, as the FILE says at the time:
`pass`, `drop` (everything ends and nothing new begins), or `silent` (connections stay and
nothing comes through, as when a router in between died).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.contract.proxy import Proxy

POLL_S = 0.05


async def forward(port: int, target: int, file: Path) -> None:
    """Forward until killed."""
    async with Proxy(target, port) as proxy:
        while True:
            mode = file.read_text(encoding="ascii")
            if mode and mode != proxy.mode:
                proxy.set(mode)
            await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    asyncio.run(forward(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
