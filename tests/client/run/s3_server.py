"""An S3 server for tests, moto's: it says what was asked of it, and refuses or holds requests as a test wishes."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import fsspec
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
_REFUSAL = "<Error><Code>{}</Code><Message>the test refuses</Message></Error>"
# Of requests: the store's own are tried again by our code alone, and no file of this machine says who asks.
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}


@dataclass
class Refusal:
    """Answers some requests with an error; negative `times` for always."""

    asked: str  # a pattern of `PUT /bucket/name`
    status: str
    code: str
    times: int


@dataclass
class Store:
    """The running server, with one bucket."""

    url: str
    asked: list[str] = field(default_factory=list)  # `PUT /bucket/name` of each request that was let through
    refusals: list[Refusal] = field(default_factory=list)
    hold: Callable[[str], bool] = lambda request: False  # such a request waits until `go_on`, after it came whole
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def make_bucket(self) -> None:
        """Make the bucket; its place is in the environment."""
        self._system().mkdir(BUCKET)

    def objects(self, below: str) -> dict[str, bytes]:
        """The objects below a name but for the journal's, as `tree` gives a folder's files."""
        system = self._system()
        names = [name for name in system.find(f"{BUCKET}/{below}") if "/journal/" not in name]
        return {name.removeprefix(f"{BUCKET}/{below}/"): system.cat_file(name) for name in names}

    def remove(self, name: str) -> None:
        """Remove an object."""
        self._system().rm_file(f"{BUCKET}/{name}")

    def puts(self, ending: str) -> list[str]:
        """The names of the objects with this ending that were written, in their order."""
        return [one.partition(f"/{BUCKET}/")[2] for one in self.asked if one.startswith("PUT") and one.endswith(ending)]

    def _system(self) -> Any:
        return fsspec.filesystem("s3", use_listings_cache=False)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def running_store() -> Iterator[Store]:
    """A store with an empty bucket, for the block, in which this process and those it starts know place and keys."""
    inner = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        for one in store.refusals:
            if one.times and re.search(one.asked, request):
                one.times -= 1
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start(one.status, [("Content-Type", "application/xml")])
                return [_REFUSAL.format(one.code).encode()]
        if store.hold(request):
            store.held.set()
            store.go_on.wait()
        store.asked.append(request)
        reply: Iterable[bytes] = inner(environ, start)
        return reply

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=_Quiet)
    store = Store(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**_ENVIRONMENT, "AWS_ENDPOINT_URL": store.url}.items():
                patch.setenv(name, value)
            store.make_bucket()
            yield store
    finally:
        store.go_on.set()
        server.shutdown()
