"""Web servers that hang, drip or refuse, as a client meets them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Site(ThreadingHTTPServer):
    """Serves a folder. Below /hanging/ nothing is answered until `free`, below /dripping/ a byte comes now and then."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=folder))
        self.asked = threading.Event()  # something was asked for
        self.free = threading.Event()  # what hangs is answered from now on

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have gone."""

    @property
    def url(self) -> str:
        """Where it is: http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        """Answer as the path says; a proxy's requests, which name a host, are refused."""
        self.server.asked.set()
        if "://" in self.path:
            self.send_error(403)
        elif self.path.startswith("/dripping/"):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            while not self.server.free.wait(0.05):
                self.wfile.write(b"?")
        else:
            if self.path.startswith("/hanging/"):
                self.server.free.wait()
                self.path = self.path.removeprefix("/hanging")
            super().do_GET()

    def do_CONNECT(self) -> None:
        """Refuse, as a proxy does to hosts that it is not for."""
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """A site with the files of `folder`, for the block."""
    with Site(folder) as site:
        threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield site
        finally:
            site.free.set()
            site.shutdown()
