"""Reads files by URL (s3://, gs://, https://, …) through fsspec, which the extra `remote` installs."""

from __future__ import annotations

import io
import random
import re
import time
from typing import Any, BinaryIO, cast

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_TRIES = 3
_BUFFER = 2**20  # bytes
_BACK_OFF_SECONDS = 0.5
# Client errors, except 408 (timeout) and 429 (too many requests), which a retry may cure.
_FINAL_STATUSES = set(range(400, 500)) - {408, 429}


def is_remote(text: str) -> bool:
    """Whether `text` is a URL rather than a path."""
    return _URL.match(text) is not None


def open_remote(url: str) -> BinaryIO:
    """Open the file at `url`, buffered; it is downloaded as it is read.

    Raises OSError, FileNotFoundError if there is none, ImportError without the extra; all with a reason.
    """
    try:
        system, path = _file_system(url)
        return io.BufferedReader(system.open(path, "rb"), _BUFFER)
    except (OSError, ImportError):
        raise
    except Exception as error:  # each store has errors of its own
        raise OSError(_reason(error)) from error


def read_remote(url: str) -> bytes:
    """Read the whole file at `url`, with retries after transient failures. Blocks. Raises as `open_remote`."""
    for attempt in range(1, _TRIES + 1):
        try:
            system, path = _file_system(url)
            return cast(bytes, system.cat_file(path))
        except (FileNotFoundError, IsADirectoryError, PermissionError, ImportError):
            raise
        except Exception as error:  # each store has errors of its own
            if attempt == _TRIES or not _is_transient(error):
                raise OSError(_reason(error)) from error
        time.sleep(_BACK_OFF_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
    raise AssertionError("the last attempt returns or raises")


def _file_system(url: str) -> tuple[Any, str]:
    try:
        import fsspec  # an extra, not needed for local files
    except ImportError:
        raise ImportError("URLs need the extra `remote`: pip install 'relight-triton[remote]'") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ImportError(f"{error}; pip install 'relight-triton[remote]' brings s3, gs and http") from None
    return system, path


def _is_transient(error: Exception) -> bool:
    return not isinstance(error, ValueError) and getattr(error, "status", None) not in _FINAL_STATUSES


def _reason(error: Exception) -> str:
    """The reason alone: an HTTP error's text repeats the URL."""
    status, words = getattr(error, "status", None), getattr(error, "message", None)
    return f"HTTP {status} {words}".strip() if status and words is not None else str(error) or type(error).__name__
