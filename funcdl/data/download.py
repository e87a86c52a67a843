"""Atomic and verified downloads: a file either is complete and has the right checksum, or does not exist."""

from __future__ import annotations

import hashlib
import http.client
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from funcdl.data.errors import DataError
from funcdl.data.files import data_dir, find_file

CHUNK = 1 << 18  # bytes


def download(
    urls: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    md5: str | None = None,
    sha256: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Downloads a file to `path`, from the first of `urls` that delivers it with the right checksum.

    The download goes to a temporary file `*.part` in the same folder, which is renamed to `path` when it is complete,
    verified and on disk. If the process is killed before, the temporary file may remain and `path` does not change.
    Nothing is unpacked or unpickled. On a terminal there is a progress bar.

    Args:
        urls: an address or several addresses (mirrors) of the same file: `https:`, `http:`, `ftp:` or `file:`.
        path: where to store it; missing folders are created, an existing file is replaced.
        md5: the MD5 checksum of the file in hexadecimal, or None if it is unknown.
        sha256: the same for SHA-256.
        timeout: seconds to wait for a connection and for each part of the response.

    Returns:
        `path`, as a `Path`.

    Raises:
        DataError: no address delivered the file, or it cannot be written; the message gives the reason for each.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("hello")
    >>> download((folder / "a.txt").as_uri(), folder / "b.txt", md5="5d41402abc4b2a76b9719d911017c592").read_text()
    'hello'
    """
    path = Path(path)
    addresses = [urls] if isinstance(urls, str) else list(urls)
    failures = []
    for url in addresses:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _fetch(url, path, {"md5": md5, "sha256": sha256}, timeout)
        except (OSError, http.client.HTTPException, DataError) as error:
            failures.append(f"{url} ({error})")
        else:
            return path
    raise DataError(
        f"could not download {path.name}: {'; '.join(failures) or 'no address was given'}; "
        f"get it by other means and put it at {path}"
    )


def find_or_download(
    name: str, path: str | os.PathLike[str] | None = None, *, urls: str | Sequence[str] = (), sha256: str | None = None
) -> Path:
    """Returns the path of the file `name`, or of `name` gzipped as `name.gz`; downloads it if there is neither.

    Args:
        name: the file relative to the folder of data sets, such as "wine/winequality-white.csv".
        path: the folder of data sets; None means what `data_dir` says.
        urls: where the file is published, in order of preference.
        sha256: the file's SHA-256 checksum in hexadecimal.

    Raises:
        DataError: the file does not exist and cannot be downloaded; the message says where to put it.
    """
    return find_file(name, path) or download(urls, data_dir(path) / name, sha256=sha256)


def _fetch(url: str, path: Path, checksums: dict[str, str | None], timeout: float) -> None:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    digests = {name: hashlib.new(name, usedforsecurity=False) for name, wanted in checksums.items() if wanted}
    try:
        # Some mirrors refuse urllib's user agent. The mode "x" never overwrites another process's file.
        request = Request(url, headers={"User-Agent": "funcdl"})
        with urlopen(request, timeout=timeout) as response, part.open("xb") as file:
            length = response.headers.get("Content-Length")
            expected = int(length) if length else None
            # disable=None shows the bar on a terminal only.
            with tqdm(desc=path.name, total=expected, unit="B", unit_scale=True, disable=None) as bar:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    for digest in digests.values():
                        digest.update(chunk)
                    bar.update(len(chunk))
            received = file.tell()
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and received != expected:
            raise DataError(f"the connection ended after {received} of {expected} bytes")
        for name, digest in digests.items():
            if digest.hexdigest() != (wanted := str(checksums[name]).lower()):
                raise DataError(f"its {name} is {digest.hexdigest()}, expected {wanted}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
