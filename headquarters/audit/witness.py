"""The last seal, kept beside the metadata store: who holds the database alone cannot take it back.

Rules:
1. Whatever seals the chain then has the seal kept in a file of headquarters' own.
2. A seal in the file that the store has not tells on the store: it is an older copy, or its seals
   and the end of its chain were taken out together. That is a fault, and an entry, once.
3. The file is in no backup: a store that was restored begins with none.
"""

from __future__ import annotations

import json
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headquarters.audit.chain import Seal
from headquarters.audit.export import seal_of, seal_row
from headquarters.audit.store import Audit
from headquarters.db.engine import reading
from protocols.durable import write_durably
from protocols.errors import StoreDamagedError, StoreError


def kept(file: Path) -> Seal | None:
    """The seal in the file; `None` while there is none.

    Args:
        file: Of headquarters (`HeadquartersConfig.audit_seal`).

    Raises:
        StoreDamagedError: The file is not what was written.
        StoreError: It cannot be read.
    """
    try:
        return seal_of(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}; expected a file that this user can read") from error
    except (ValueError, TypeError) as error:
        raise StoreDamagedError(
            f"expected the last seal of the audit in {file}, got something else"
        ) from error


def missing(session: Session, file: Path) -> Seal | None:
    """The seal in the file if the store has it not."""
    seal = kept(file)
    return None if seal is None or Audit(session).has_seal(seal) else seal


def renew(engine: Engine, file: Path) -> None:
    """Keep the store's last seal in the file.

    Raises:
        StoreError: The database or the disk failed.
    """
    with reading(engine) as session:
        last = Audit(session).newest_seal()
    if last is not None:
        write_durably(file, json.dumps(seal_row(last)) + "\n", 0o600)
