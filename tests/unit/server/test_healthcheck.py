"""The probe for containers: asks the right place and tells yes from no."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from objstore.server.healthcheck import ask_readiness, own_url


@pytest.mark.parametrize(("status", "is_ready"), [(200, True), (503, False), (404, False)])
def test_only_200_is_ready(status, is_ready) -> None:
    """503 while starting and draining must take the node out of service."""
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        outcome, _ = ask_readiness(f"http://127.0.0.1:{server.server_port}", timeout_s=10)
        thread.join()
    assert outcome is is_ready
    assert paths == ["/_/health/ready"]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:9000"),
        ({"OBJSTORE_ADDRESS": "0.0.0.0:80"}, "http://127.0.0.1:80"),
        ({"OBJSTORE_ADDRESS": "[::1]:1", "OBJSTORE_TLS_CERT": "x"}, "https://[::1]:1"),
    ],
)
def test_url_follows_the_configuration_of_the_container(environ, url) -> None:
    """Probe and server share their environment, so the probe needs no settings of its own."""
    assert own_url(environ) == url
