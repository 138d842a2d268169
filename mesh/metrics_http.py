"""/metrics for Prometheus and /healthz for what cannot speak gRPC health: plain HTTP on an inner address, in threads of
its own, so that it answers also while the event loop is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from mesh.telemetry import METRICS

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


class MetricsServer:
    """Serves until `stop`.

    Args:
        listen: host:port; port 0 lets the system choose.
        ready: whether /healthz answers 200 rather than 503.

    Raises:
        OSError: the address is taken.
    """

    def __init__(self, listen: str, ready: Callable[[], bool]) -> None:
        host, _, port = listen.rpartition(":")
        metrics = make_wsgi_app(METRICS)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO")
            if path == "/metrics":
                body: Iterable[bytes] = metrics(environ, start_response)
                return body
            status = "404 Not Found" if path != "/healthz" else "200 OK" if ready() else "503 Service Unavailable"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{status[4:].lower()}\n".encode()]

        self._server: WSGIServer = make_server(
            host.strip("[]"), int(port), app, server_class=ThreadingWSGIServer, handler_class=_Silent
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    def stop(self) -> None:
        """Closes the listener."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:  # access lines of scrapes help nobody
        pass
