"""The metadata store in a backup: what was committed comes back, from either database."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from headquarters.backup.metadata import DUMP, connection_of, dump, take
from protocols.errors import InputError, StoreError
from tests.stores.cluster import program


def test_what_was_committed_comes_back(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(fresh_url)
    with engine.begin() as connection:
        connection.execute(text("create table people(name text)"))
        connection.execute(text("insert into people values('张伟')"))
    with engine.connect() as unfinished:
        unfinished.execute(text("insert into people values('nobody')"))
        taken = tmp_path / "taken"
        if not fresh_url.startswith("sqlite"):
            monkeypatch.setenv("PATH", str(Path(program("pg_dump")).parent), prepend=":")
        [source] = take(fresh_url, tmp_path / "home", taken)
    with engine.begin() as connection:
        connection.execute(text("drop table people"))
    engine.dispose()
    if source.path == DUMP:
        command = [program("pg_restore"), "--dbname", connection_of(fresh_url)["PGDATABASE"]]
        command.append(str(source.file))
        subprocess.run(command, check=True, env={**os.environ, **connection_of(fresh_url)})
        back = create_engine(fresh_url)
    else:
        back = create_engine(f"sqlite:///{source.file}")
    with back.connect() as connection:
        assert connection.execute(text("select name from people")).scalars().all() == ["张伟"]
    back.dispose()


def test_a_store_in_the_home_is_taken_with_the_home(tmp_path: Path) -> None:
    assert take(f"sqlite:///{tmp_path / 'data/metadata.db'}", tmp_path, tmp_path / "taken") == []


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"postgresql+pg8000://catchment:secret@/gone?unix_sock={tmp_path}/.s.PGSQL.5432"
    with pytest.raises((StoreError, InputError)) as told:
        dump(url, tmp_path / DUMP)
    assert "pg_dump" in str(told.value) and "secret" not in str(told.value)
    assert connection_of(url)["PGHOST"] == str(tmp_path) and connection_of(url)["PGPORT"] == "5432"
