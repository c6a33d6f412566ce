"""What comes down: files of the update repository over calls, verified by who installs them.

Rules:
1. The repository is one of TUF (The Update Framework, specification 1.0.31). `metadata/` and
   `targets/` are served as files by the call `file`; whoever serves them is not trusted.
2. Only paths in the form of `names` are served, so that no path leads out of the folder.
3. Metadata and targets but for `metadata/timestamp.json` never change under their name.
4. A broken transfer goes on where it ended: each piece says the length and hash of the whole.
5. `client` is imported by who needs it: it brings python-tuf, which costs a gateway 13 MB.
"""

from protocols.updates.names import check_target, hash_named, is_served, is_target
from protocols.updates.pace import Pace
from protocols.updates.pieces import Ask, Piece, Shelf, Wanted, file_handler, parse_piece, parse_wanted
from protocols.updates.transfer import fetch_small, fetch_target, look

__all__ = [
    "Ask",
    "Pace",
    "Piece",
    "Shelf",
    "Wanted",
    "check_target",
    "fetch_small",
    "fetch_target",
    "file_handler",
    "hash_named",
    "is_served",
    "is_target",
    "look",
    "parse_piece",
    "parse_wanted",
]
