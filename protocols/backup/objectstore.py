"""Backups in an object store that speaks S3: AWS's, MinIO, Ceph and others, through pyarrow.

Imported only where a place is a URL: pyarrow is there at headquarters, elsewhere with `catchment[s3]`.

Rules:
1. Credentials come from the environment, AWS's own files or the machine's role, never from us.
2. An object is written in one piece and is there whole or not at all: that is what S3 promises.

Source: Amazon S3, "Data consistency model"; pyarrow.fs.S3FileSystem.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pyarrow import fs

from protocols.backup.store import MissingError
from protocols.errors import InputError, Problem, StoreError

CONNECT_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 60.0
ATTEMPTS = 5
"""How often a request is made before it fails; pauses between grow."""


class S3Store:
    """Objects below a prefix of a bucket.

    Args:
        url: `s3://BUCKET/PREFIX`.
        endpoint: URL of an object store that is not AWS's; empty: AWS's.
        region: Its region; empty: as AWS's own files say.

    Raises:
        InputError: The URL or the endpoint is none.
    """

    def __init__(self, url: str, endpoint: str = "", region: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query:
            shown = "(a URL with credentials)" if "@" in parts.netloc else url
            raise InputError([Problem("backup", "place", shown, "s3://BUCKET/PREFIX, without credentials")])
        self._url = url.rstrip("/")
        self._base = f"{parts.netloc}{parts.path}".rstrip("/")
        options: dict[str, str] = {"region": region} if region else {}
        if endpoint:
            where = urlsplit(endpoint)
            if where.scheme not in ("http", "https") or not where.netloc or "@" in where.netloc:
                expected = "a URL such as https://minio.example:9000, without credentials"
                raise InputError([Problem("backup", "endpoint", endpoint.rpartition("@")[2], expected)])
            options |= {"endpoint_override": where.netloc, "scheme": where.scheme}
            options.setdefault("region", "us-east-1")  # others take any name
        self._files = fs.S3FileSystem(
            connect_timeout=CONNECT_TIMEOUT_S,
            request_timeout=REQUEST_TIMEOUT_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
            **options,
        )

    @property
    def where(self) -> str:
        """The URL."""
        return self._url

    def put(self, name: str, data: bytes) -> None:
        """Send an object."""
        with self._errors(name), self._files.open_output_stream(f"{self._base}/{name}") as stream:
            stream.write(data)

    def get(self, name: str) -> bytes:
        """Fetch an object."""
        with self._errors(name), self._files.open_input_file(f"{self._base}/{name}") as stream:
            content: bytes = stream.read()
            return content

    def names(self, prefix: str) -> Iterator[str]:
        """List what is below a prefix."""
        selector = fs.FileSelector(f"{self._base}/{prefix}", allow_not_found=True, recursive=True)
        with self._errors(prefix):
            found = self._files.get_file_info(selector)
        for info in found:
            if info.type == fs.FileType.File:
                yield info.path.removeprefix(f"{self._base}/")

    def delete(self, name: str) -> None:
        """Remove an object."""
        try:
            with self._errors(name):
                self._files.delete_file(f"{self._base}/{name}")
        except MissingError:
            return

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise MissingError(f"{self._url}/{name}: it is not there") from error
        except OSError as error:
            expected = "expected an object store that answers, and credentials that it takes"
            raise StoreError(f"{self._url}/{name}: {error}; {expected}") from error
