"""A web server on this machine that serves bytes, well or badly."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served and how; `asked` is what was asked for: (path, Range header).

    ranges: answers Range as it should; stop_after: closes every answer after so many bytes;
    pause_s: waits after every piece; status: answers with this code and nothing else.
    """

    files: Mapping[str, bytes]
    ranges: bool = True
    stop_after: int | None = None
    pause_s: float = 0.0
    status: int | None = None
    wrong_range: bool = False
    redirect: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


PIECE = 1 << 14


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, name = self.site, self.path.lstrip("/")
        asked = self.headers.get("Range")
        site.asked.append((name, asked))
        if site.redirect is not None:
            self.send_response(302)
            self.send_header("Location", site.redirect)
            self.end_headers()
        elif site.status is not None or name not in site.files:
            self.send_error(site.status or 404)
        else:
            self._send(site.files[name], asked)

    def _send(self, content: bytes, asked: str | None) -> None:
        asked = asked if self.site.ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        if asked:
            said = start + self.site.wrong_range
            self.send_header("Content-Range", f"bytes {said}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content)
        if self.site.stop_after is not None:
            stop = min(stop, start + self.site.stop_after)
        for at in range(start, stop, PIECE):
            self.wfile.write(content[at : min(at + PIECE, stop)])
            self.wfile.flush()
            time.sleep(self.site.pause_s)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client was killed
            self.close_connection = True


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site under its `address` until the block ends."""
    handler = type("Handler", (_Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
