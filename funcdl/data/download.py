"""Finding a file of a data set, and fetching one so that it is there complete and checked, or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.request import Request, urlopen

from tqdm import tqdm

from funcdl.data.source import DataError, data_dir

CHUNK = 1 << 18  # bytes


def download(
    urls: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    md5: str | None = None,
    sha256: str | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetches a file to `path`, from the first of `urls` that delivers it with the right checksum.

    The bytes go to a temporary name beside `path`, which takes its final name by one rename when they are complete,
    checked and on disk. A run that is killed half-way leaves no file at `path`, and one that was there stays as it
    was; what it may leave is named `*.part`. The bytes are only stored: nothing is unpacked or unpickled. A terminal
    shows a progress bar on stderr.

    Args:
        urls: an address or several addresses (mirrors) of the same file: `https:`, `http:`, `ftp:` or `file:`.
        path: where to put it; missing folders are made, a file there is replaced.
        md5: the file's MD5 checksum in hexadecimal, or None if it is not known.
        sha256: the same for SHA-256.
        timeout: seconds to wait for a connection, and for each part of the answer.

    Returns:
        `path`, as a `Path`.

    Raises:
        DataError: no address delivered the file, or it cannot be written; the message has a reason for each.

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


def locate(
    name: str, path: str | os.PathLike[str] | None = None, *, urls: str | Sequence[str] = (), sha256: str | None = None
) -> Path:
    """Returns where the file `name`, or `name` gzipped as `name.gz`, lies below the folder with data sets.

    A file that lies in neither place is downloaded there.

    Args:
        name: the file, such as "wine/winequality-white.csv".
        path: the folder with data sets; None means what `data_dir` says.
        urls: where the file is published, in order of preference.
        sha256: the checksum of what is published there, in hexadecimal digits.

    Raises:
        DataError: the file is not there and cannot be downloaded; says where to put it.
    """
    wanted = data_dir(path) / name
    for candidate in (wanted, wanted.with_name(f"{wanted.name}.gz")):
        if candidate.exists():
            return candidate
    return download(urls, wanted, sha256=sha256)


def _fetch(url: str, path: Path, checksums: dict[str, str | None], timeout: float) -> None:
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    digests = {name: hashlib.new(name, usedforsecurity=False) for name, wanted in checksums.items() if wanted}
    try:
        # Some mirrors refuse urllib's own name; the mode "x" never writes into another process's file.
        request = Request(url, headers={"User-Agent": "funcdl"})
        with urlopen(request, timeout=timeout) as answer, part.open("xb") as file:
            length = answer.headers.get("Content-Length")
            expected = int(length) if length else None
            # disable=None shows the bar on a terminal only.
            with tqdm(desc=path.name, total=expected, unit="B", unit_scale=True, disable=None) as bar:
                while chunk := answer.read(CHUNK):
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
