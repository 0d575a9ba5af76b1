"""Reads files by URL (s3://, gs://, https://, …) through fsspec, which the extra `remote` installs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import io
import random
import re
import time
from collections.abc import Awaitable
from typing import Any, BinaryIO

from client.proxies import web_proxy

LARGEST = 2**31 - 2**20  # bytes of a photo; a call holds less than 2 GiB
TIMEOUT_SECONDS = 300.0
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB = ("http://", "https://")
_TRIES = 3
_BUFFER = 2**20  # bytes
_BACK_OFF_SECONDS = 0.5
# Client errors, except 408 (timeout) and 429 (too many requests), which a retry may cure.
_FINAL_STATUSES = set(range(400, 500)) - {408, 429}
_TIMED_OUT = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)  # three types before Python 3.11


def is_remote(text: str) -> bool:
    """Whether `text` is a URL rather than a path."""
    return _URL.match(text) is not None


def open_remote(url: str) -> BinaryIO:
    """Open the file at `url`, buffered; it is downloaded as it is read.

    Raises OSError, FileNotFoundError if there is none, ImportError without the extra; all with a reason.
    """
    try:
        system, path = file_system(url)
        return io.BufferedReader(system.open(path, "rb"), _BUFFER)
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:  # each store has errors of its own
        raise OSError(reason_of(error, url)) from error


def read_remote(url: str, timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Read the whole file at `url`, with retries after transient failures. Blocks for at most `timeout` seconds.

    Raises as `open_remote`.
    """
    deadline = time.monotonic() + timeout
    for attempt in range(1, _TRIES + 1):
        try:
            return _read(url, deadline - time.monotonic())
        except (FileNotFoundError, IsADirectoryError, PermissionError, ImportError):
            raise
        except _TIMED_OUT:
            through = f" through {proxy}" if (proxy := web_proxy(url)) else ""
            raise OSError(f"not all of it came within {timeout:g} s{through}; raise --timeout") from None
        except Exception as error:  # each store has errors of its own
            pause = _BACK_OFF_SECONDS * 2**attempt * random.uniform(0.5, 1.0)
            if attempt == _TRIES or not _is_transient(error) or time.monotonic() + pause > deadline:
                raise OSError(reason_of(error, url)) from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _read(url: str, timeout: float) -> bytes:
    """One attempt. Raises one of _TIMED_OUT, and whatever the store raises."""
    system, path = file_system(url)
    if not system.async_impl:
        content: bytes = system.cat_file(path)
        return content
    # In fsspec's own event loop: the limit also ends a server that sends a byte a second.
    download: Awaitable[bytes] = _get(system, path) if system is _web() else system._cat_file(path)
    future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(download, max(0.0, timeout)), system.loop)
    try:
        return future.result()
    finally:
        future.cancel()  # where Ctrl-C has ended the wait


async def _get(system: Any, url: str) -> bytes:
    """A file from the web; one that does not end is left at LARGEST bytes."""
    session = await system.set_session()
    async with session.get(system.encode_url(url)) as reply:
        if reply.status == 404:
            raise FileNotFoundError(url)
        reply.raise_for_status()
        pieces, size = [], 0
        async for piece in reply.content.iter_any():
            pieces.append(piece)
            if (size := size + len(piece)) > LARGEST:
                raise ValueError("it is larger than 2 GB; make the photo smaller")
        return b"".join(pieces)


def file_system(url: str, **options: Any) -> tuple[Any, str]:
    """The fsspec file system of a URL, made with `options`, and the path in it. Raises ImportError with a reason."""
    try:
        import fsspec  # an extra, not needed for local files
    except ImportError:
        raise ImportError("URLs need the extra `remote`: pip install 'relight-triton[remote]'") from None
    try:
        system, path = (_web(), url) if url.lower().startswith(_WEB) else fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise ImportError(f"{error}; pip install 'relight-triton[remote]' brings s3, gs and http") from None
    return system, path


@functools.cache
def _web() -> Any:
    """The web, one for all threads: proxies as the environment has them; `read_remote` limits the whole of a photo."""
    import aiohttp  # extras
    import fsspec

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS, sock_read=TIMEOUT_SECONDS)
    return fsspec.filesystem("http", client_kwargs={"trust_env": True, "timeout": timeout})


def _is_transient(error: Exception) -> bool:
    return not isinstance(error, ValueError) and getattr(error, "status", None) not in _FINAL_STATUSES


def reason_of(error: Exception, url: str) -> str:
    """The reason alone, without the URL that an HTTP error's text repeats, and the proxy if there is one."""
    status, words = getattr(error, "status", None), getattr(error, "message", None)
    has_status = status is not None and words is not None
    reason = f"HTTP {status} {words}".strip() if has_status else str(error) or type(error).__name__
    proxy = web_proxy(url) if url.lower().startswith(_WEB) else ""
    return f"{reason}; it was asked for through {proxy}, which no_proxy can except" if proxy else reason
