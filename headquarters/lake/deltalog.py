"""The transaction log of one Delta table in a folder, written by one process.

Rules:
1. A commit is one JSON file, linked under its number only when it is whole and flushed to
   the disk, together with everything it names. If the number is taken, somebody else
   writes to this table, and that is an error.
2. What a commit changes is kept in memory, so a commit costs the same whatever came
   before. (The delta-rs library reads the log since the last checkpoint again at each
   commit: 16 ms after 100 commits, 58 ms after 350, and it flushes nothing.)
3. Checkpoints are made by delta-rs, between commits and beside them; log files older than
   the last checkpoint are deleted after their retention, as are removed data files.

Readers need nothing of this: the table is an ordinary Delta table.

Source: Delta Transaction Log Protocol, "Actions", "Checkpoints", "Transaction Identifiers".
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema

from headquarters.lake import disk
from protocols.errors import StoreDamagedError, StoreError

LOG = "_delta_log"


class DataFile(NamedTuple):
    """One Parquet file of a table.

    Args:
        path: Relative to the table's folder.
        partition: Values of the partition columns, as text.
        size: Bytes.
        rows: How many.
        low: Lowest value of each column that has statistics.
        high: Highest value.
        modified_ms: When it was written, milliseconds since 1970.
    """

    path: str
    partition: Mapping[str, str]
    size: int
    rows: int
    low: Mapping[str, Any]
    high: Mapping[str, Any]
    modified_ms: int

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.path.rpartition("/")[2]

    @property
    def date(self) -> str:
        """The date of its partition, `YYYY-MM-DD`; empty in a table without."""
        return self.partition.get("date", "")


@dataclass(slots=True)
class State:
    """A table at one version.

    Args:
        version: Number of the last commit.
        files: Those that make up the table, by path.
        removed: Those that older versions still use: path and when it was removed (ms).
        transactions: The last version of every application.
        metadata: The table's own description: its schema, partitions and settings.
    """

    version: int = -1
    files: dict[str, DataFile] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """Names of the columns that the table declares."""
        return {column["name"] for column in json.loads(self.metadata["schemaString"])["fields"]}

    def apply(self, action: Mapping[str, Any]) -> None:
        """Take in one action of a commit."""
        if (add := action.get("add")) is not None:
            self.files[add["path"]] = _data_file(add)
            self.removed.pop(add["path"], None)
        elif (remove := action.get("remove")) is not None:
            self.files.pop(remove["path"], None)
            self.removed[remove["path"]] = remove.get("deletionTimestamp") or 0
        elif (txn := action.get("txn")) is not None:
            self.transactions[txn["appId"]] = txn["version"]
        elif (metadata := action.get("metaData")) is not None:
            self.metadata = dict(metadata)


class DeltaLog:
    """One table's log; thread-safe.

    Args:
        folder: The table.
        schema: Its columns, partition columns included.
        partitions: Names of the partition columns.
        ranges: Columns whose lowest and highest values are logged.
        retention_ms: How long removed files and old log files stay for readers of older versions.

    Raises:
        StoreDamagedError: The log that is there cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        partitions: Sequence[str],
        ranges: Sequence[str],
        retention_ms: int,
    ) -> None:
        self.folder = folder
        self.schema = schema
        self._retention_ms = retention_ms
        self._lock = threading.Lock()
        self._log = folder / LOG
        if not (self._log / _commit_name(0)).exists() and not (self._log / "_last_checkpoint").exists():
            self._create(partitions, ranges)
        self._state = replay(self._log)
        self._add_columns()
        self._checkpointed = self._state.version

    @property
    def version(self) -> int:
        """Number of the last commit."""
        return self._state.version

    @property
    def since_checkpoint(self) -> int:
        """Commits since the last checkpoint."""
        return self._state.version - self._checkpointed

    def files(self) -> list[DataFile]:
        """The files of the table now."""
        with self._lock:
            return list(self._state.files.values())

    def transaction(self, app: str) -> int | None:
        """The last version of an application, or `None`."""
        return self._state.transactions.get(app)

    def transactions(self) -> dict[str, int]:
        """The last version of every application."""
        with self._lock:
            return dict(self._state.transactions)

    def commit(
        self,
        adds: Sequence[DataFile],
        now_ms: int,
        transactions: Mapping[str, int] | None = None,
        removes: Iterable[DataFile] = (),
        data_change: bool = True,
    ) -> int:
        """Write one commit; the added files must be durable already.

        Args:
            adds: New files.
            now_ms: Now, milliseconds since 1970.
            transactions: New versions of applications.
            removes: Files that the new ones replace.
            data_change: False when the same rows are only laid out anew.

        Returns:
            The version.

        Raises:
            StoreError: The log could not be written, or somebody else writes to it.
        """
        with self._lock:
            actions = [
                _info(now_ms, "WRITE" if data_change else "OPTIMIZE", adds, transactions or {}),
                *({"txn": {"appId": a, "version": v}} for a, v in (transactions or {}).items()),
                *(_remove(file, now_ms, data_change) for file in removes),
                *(_add(file, data_change) for file in adds),
            ]
            return self._write(actions)

    def _write(self, actions: Sequence[Mapping[str, Any]]) -> int:
        """Make one commit of some actions durable, and take them in."""
        version = self._state.version + 1
        path = self._log / _commit_name(version)
        lines = "\n".join(json.dumps(action, separators=(",", ":")) for action in actions)
        try:
            disk.write_new(path, lines.encode() + b"\n")
        except FileExistsError as error:
            raise StoreError(
                f"expected to be the only writer of {self.folder}, got version {version} from "
                "another; stop the other one and start again"
            ) from error
        except OSError as error:
            raise StoreError(f"expected to write {path}: {error.strerror}") from error
        for action in actions:
            self._state.apply(action)
        self._state.version = version
        return version

    def _add_columns(self) -> None:
        """Declare the columns that a release older than ours did not have; in its rows they are null."""
        declared = json.loads(self._state.metadata["schemaString"])
        there = self._state.columns
        ours = json.loads(Schema.from_arrow(self.schema).to_json())["fields"]
        missing = [column for column in ours if column["name"] not in there]
        if not missing:
            return
        declared["fields"] += missing
        metadata = {**self._state.metadata, "schemaString": json.dumps(declared, separators=(",", ":"))}
        names = ", ".join(column["name"] for column in missing)
        info = {"operation": "ADD COLUMN", "operationParameters": {"names": names}, "engineInfo": "catchment"}
        self._write([{"commitInfo": info}, {"metaData": metadata}])

    def added(self, after: int, until: int) -> list[DataFile] | None:
        """Files with new rows in the commits after one version and until another.

        Returns:
            The files, whether they are still part of the table or not; `None` when the log
            that far back is gone.
        """
        found = []
        for version in range(after + 1, until + 1):
            try:
                text = (self._log / _commit_name(version)).read_text(encoding="utf-8")
            except FileNotFoundError:
                return None
            actions = [json.loads(line) for line in text.splitlines()]
            found += [_data_file(a["add"]) for a in actions if "add" in a and a["add"]["dataChange"]]
        return found

    def checkpoint(self, now_ms: int) -> None:
        """Write the table's whole state beside the log, and drop log files that it replaces.

        Raises:
            StoreError: It could not be written.
        """
        try:
            # Of a version that was there before: what is committed while the folder is listed
            # may be seen in part, a later file without the one before it.
            version = self.version
            DeltaTable(str(self.folder), version=version).create_checkpoint()
            for path in self._log.glob(f"{version:020d}.checkpoint*.parquet"):
                disk.sync(path)
            disk.sync(self._log / "_last_checkpoint")
            disk.sync(self._log)
        except Exception as error:  # delta-rs has no common root for what a disk can do to it
            raise StoreError(f"expected to write a checkpoint of {self.folder}: {error}") from error
        self._checkpointed = version
        self._forget_log(version, now_ms)

    def vacuum(self, now_ms: int) -> int:
        """Delete removed files whose retention is over; returns how many."""
        with self._lock:
            due = [p for p, at in self._state.removed.items() if at + self._retention_ms < now_ms]
            for path in due:
                del self._state.removed[path]
        for path in due:
            (self.folder / path).unlink(missing_ok=True)
        return len(due)

    def orphans(self, now_ms: int) -> list[Path]:
        """Data files that no commit names and that are too old to be waiting for one."""
        with self._lock:
            known = self._state.files.keys() | self._state.removed.keys()
        old_s = (now_ms - self._retention_ms) / 1000
        return [
            path
            for path in self.folder.rglob("*.parquet")
            if LOG not in path.parts
            and path.relative_to(self.folder).as_posix() not in known
            and path.stat().st_mtime < old_s
        ]

    def _forget_log(self, checkpoint: int, now_ms: int) -> None:
        for path in self._log.iterdir():
            number = path.name.partition(".")[0]
            old = number.isdigit() and int(number) < checkpoint
            if old and path.stat().st_mtime * 1000 + self._retention_ms < now_ms:
                path.unlink()

    def _create(self, partitions: Sequence[str], ranges: Sequence[str]) -> None:
        disk.make_folder(self.folder)
        retention = f"interval {max(1, self._retention_ms // 60_000)} minutes"
        DeltaTable.create(
            str(self.folder),
            self.schema,
            partition_by=list(partitions),
            configuration={
                "delta.logRetentionDuration": retention,
                "delta.deletedFileRetentionDuration": retention,
                "delta.enableExpiredLogCleanup": "false",
                # Without this, delta-rs takes columns without ranges for columns without rows.
                "delta.dataSkippingStatsColumns": ",".join(ranges),
            },
        )
        disk.sync(self._log / _commit_name(0))
        disk.sync(self._log)
        disk.sync(self.folder)


def replay(log: Path, known: State | None = None) -> State:
    """Read the state of a table from its last checkpoint and the commits after it.

    Args:
        log: The log's folder.
        known: A state read before; it is brought forward when the commits since are there.

    Raises:
        StoreDamagedError: The log has a hole or cannot be parsed.
    """
    try:
        checkpoint = _last_checkpoint(log)
        state = known
        if state is None or (
            state.version < checkpoint and not (log / _commit_name(state.version + 1)).exists()
        ):
            state = State(checkpoint)
            for path in sorted(log.glob(f"{checkpoint:020d}.checkpoint*.parquet")):
                _read_checkpoint(path, state)
        while True:
            path = log / _commit_name(state.version + 1)
            if path.exists():
                for line in path.read_text(encoding="utf-8").splitlines():
                    state.apply(json.loads(line))
                state.version += 1
            elif _newest_commit(log) <= state.version:
                break
            elif not path.exists():  # nor was it written since the look
                raise ValueError(f"commit {state.version + 1} is missing and later ones are there")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise StoreDamagedError(f"expected a Delta log in {log}: {error}; restore it from a copy") from error
    if state.version < 0:
        raise StoreDamagedError(f"expected commits in {log}, found none; restore it from a copy")
    return state


def _newest_commit(log: Path) -> int:
    """The highest version that has a file; -1 when there is none."""
    with os.scandir(log) as entries:
        numbers = [entry.name.partition(".")[0] for entry in entries if entry.name.endswith(".json")]
    return max((int(number) for number in numbers if number.isdigit()), default=-1)


def _last_checkpoint(log: Path) -> int:
    """The version of the last checkpoint, -1 when there is none yet."""
    try:
        version = json.loads((log / "_last_checkpoint").read_text())["version"]
    except FileNotFoundError:
        return -1
    if not isinstance(version, int):
        raise ValueError(f"expected a version in _last_checkpoint, got {version!r}")
    return version


def _read_checkpoint(path: Path, state: State) -> None:
    for row in pq.read_table(path, columns=["txn", "add", "remove", "metaData"]).to_pylist():
        if row.get("add") is not None:
            row["add"]["partitionValues"] = dict(row["add"]["partitionValues"])
        if (metadata := row.get("metaData")) is not None:
            metadata["configuration"] = dict(metadata["configuration"])
            metadata["format"]["options"] = dict(metadata["format"]["options"])
        state.apply(row)


def _data_file(add: Mapping[str, Any]) -> DataFile:
    stats = json.loads(add["stats"]) if add.get("stats") else {}
    return DataFile(
        add["path"],
        add["partitionValues"],
        add["size"],
        stats.get("numRecords", 0),
        stats.get("minValues", {}),
        stats.get("maxValues", {}),
        add["modificationTime"],
    )


def _add(file: DataFile, data_change: bool) -> dict[str, Any]:
    stats = {"numRecords": file.rows, "minValues": file.low, "maxValues": file.high}
    return {
        "add": {
            "path": file.path,
            "partitionValues": file.partition,
            "size": file.size,
            "modificationTime": file.modified_ms,
            "dataChange": data_change,
            "stats": json.dumps(stats, separators=(",", ":")),
        }
    }


def _remove(file: DataFile, now_ms: int, data_change: bool) -> dict[str, Any]:
    return {
        "remove": {
            "path": file.path,
            "deletionTimestamp": now_ms,
            "dataChange": data_change,
            "extendedFileMetadata": True,
            "partitionValues": file.partition,
            "size": file.size,
        }
    }


def _info(
    now_ms: int, operation: str, adds: Sequence[DataFile], transactions: Mapping[str, int]
) -> dict[str, Any]:
    metrics = {"numFiles": len(adds), "numRows": sum(file.rows for file in adds), "chains": len(transactions)}
    return {
        "commitInfo": {
            "timestamp": now_ms,
            "operation": operation,
            "operationParameters": {"mode": "Append"} if operation == "WRITE" else {},
            "operationMetrics": {key: str(value) for key, value in metrics.items()},
            "engineInfo": "catchment",
        }
    }


def _commit_name(version: int) -> str:
    return f"{version:020d}.json"
