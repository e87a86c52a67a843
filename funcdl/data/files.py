"""Files of data sets: finding their folder, finding a file, and reading its bytes."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from funcdl.data.errors import DataError

MAX_UNPACKED = 1 << 26  # the unpacked size that is allowed for any gzip file, in bytes
MAX_RATIO = 64  # a larger file may unpack to at most this many times its size


def data_dir(path: str | os.PathLike[str] | None = None) -> Path:
    """Returns the folder of all data sets: `path`, else `$FUNCDL_DATA`, else `~/.cache/funcdl`.

    The folder need not exist; a download creates it.

    >>> data_dir("data").as_posix()
    'data'
    """
    return Path(path or os.environ.get("FUNCDL_DATA") or "~/.cache/funcdl").expanduser()


def find_file(name: str, path: str | os.PathLike[str] | None = None) -> Path | None:
    """Returns the path of the file `name`, or of `name` gzipped as `name.gz`, or None if there is neither.

    Args:
        name: the file relative to the folder of data sets, such as "titanic/train.csv".
        path: the folder of data sets; None means what `data_dir` says.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "train.csv.gz").write_bytes(b"")
    >>> find_file("train.csv", folder).name
    'train.csv.gz'
    """
    file = data_dir(path) / name
    return next((found for found in (file, file.with_name(f"{file.name}.gz")) if found.exists()), None)


def read_bytes(path: Path) -> bytes:
    """Reads a file. If its name ends in `.gz`, unpacks it, up to 64 MiB or 64 times its size.

    Raises:
        DataError: the file is missing or cannot be read, is not gzip although its name says so, or unpacks to more.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DataError(f"{path} cannot be read: it is a pipe or a device; pass a file")
        if path.suffix != ".gz":
            return path.read_bytes()
        limit = max(MAX_UNPACKED, MAX_RATIO * path.stat().st_size)
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except gzip.BadGzipFile as error:
        raise DataError(f"{path} is not a gzip file ({error}); delete it and get it again") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}); delete it and get it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(content) > limit:
        raise DataError(
            f"{path} unpacks to more than {limit >> 20} MiB, which is more than a data set of its size has; unpack it "
            "yourself if it is meant"
        )
    return content
