"""A process that serves: from its first line to its exit code."""

from __future__ import annotations

import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from objstore.testing.certificates import make_certificates

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from types import SimpleNamespace
from objstore.server.health import Readiness
from objstore.server.keys import find_root_keys
from objstore.server.serve import run
from objstore.server.settings_sources import load_settings

@asynccontextmanager
async def open_node(settings):
    draining = asyncio.Event()
    readiness = Readiness()
    readiness.on_drain(draining.set)
    readiness.on_drain(lambda: print("draining", flush=True))
    async def app(scope, receive, send):
        print("in flight", flush=True)
        if scope["path"] == "/until-drain":
            await draining.wait()
        if scope["path"] == "/for-ever":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
    keys = find_root_keys(settings.access, settings.storage.dirs[0], is_dev=True)
    yield SimpleNamespace(app=app, readiness=readiness, root_keys=keys, notices=("a notice",), workers=None)
    print("node closed", flush=True)

flags = {"dev": True, "address": "127.0.0.1:0", "drain_deadline_s": sys.argv[1]}
flags.update(zip(("tls_cert", "tls_key"), sys.argv[2:]))
settings = load_settings(flags=flags, environ={})
sys.exit(run(settings, open_node, announce=lambda text: print(text, flush=True)))
"""
DEADLINE_S = 30


class Server:
    """A child that serves, its address, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.banner = ""
        self.address = ("127.0.0.1", 0)

    def read_until(self, text: str) -> str:
        """Return the child's output up to the line that holds this text."""
        said = ""
        for line in self.process.stdout or ():
            said += line
            if text in line:
                return said
        raise AssertionError(f"the server ended without saying {text!r}: {said}")

    def ask(self, path: str) -> tuple[threading.Thread, list[object]]:
        """Send a request from a thread; return the thread and where the status, or the error, will be."""
        outcome: list[object] = []

        def talk() -> None:
            connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE_S)
            try:
                connection.request("GET", path)
                outcome.append(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                outcome.append(type(error))
            finally:
                connection.close()

        thread = threading.Thread(target=talk)
        thread.start()
        return thread, outcome


@contextmanager
def serving(*tls: Path, drain_deadline_s: float = DEADLINE_S) -> Iterator[Server]:
    """Run the program until the block ends."""
    command = [sys.executable, "-c", PROGRAM, str(drain_deadline_s), *map(str, tls)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        server = Server(process)
        try:
            server.banner = server.read_until("s3.put_object")
            found = re.search(r"https?://127\.0\.0\.1:(\d+)", server.banner)
            assert found
            server.address = ("127.0.0.1", int(found[1]))
            yield server
        finally:
            process.kill()


def test_request_in_flight_finishes_and_the_node_closes_in_order() -> None:
    """A deployment must not cost a client its answer."""
    with serving() as server:
        thread, outcome = server.ask("/until-drain")
        server.read_until("in flight")
        server.process.send_signal(signal.SIGTERM)
        thread.join(DEADLINE_S)
        assert outcome == [200]
        server.read_until("node closed")
        assert server.process.wait(DEADLINE_S) == 0


def test_request_beyond_the_deadline_is_cut_and_told_by_the_exit_code() -> None:
    """Supervisors wait only so long; whoever reads their log must see that something was cut."""
    with serving(drain_deadline_s=0.1) as server:
        thread, outcome = server.ask("/for-ever")
        server.read_until("in flight")
        server.process.send_signal(signal.SIGINT)
        thread.join(DEADLINE_S)
        assert outcome in ([http.client.RemoteDisconnected], [ConnectionResetError])
        assert server.process.wait(DEADLINE_S) == 1


def test_second_signal_ends_at_once() -> None:
    """Whoever presses Ctrl+C twice means it."""
    with serving() as server:
        thread, outcome = server.ask("/for-ever")
        server.read_until("in flight")
        server.process.send_signal(signal.SIGTERM)
        server.read_until("draining")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE_S) == 128 + signal.SIGTERM
        thread.join(DEADLINE_S)
        assert outcome != [200]


def test_banner_tells_what_to_do_next_and_development_data_goes_away() -> None:
    """The first screen decides whether somebody gets on; temporary data has to be temporary."""
    with serving() as server:
        assert "DEVELOPMENT MODE" in server.banner
        assert "a notice" in server.banner
        directory = re.search(r"Data +(\S+)", server.banner)
        assert directory
        assert os.path.isdir(directory[1])
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(DEADLINE_S)
        assert not os.path.exists(directory[1])


def test_hangup_serves_the_renewed_certificate(tmp_path) -> None:
    """Certificates are renewed every few weeks; a restart for each would be an outage for each."""
    old = make_certificates(tmp_path)
    with serving(old.cert, old.key) as server:
        before = ssl.get_server_certificate(server.address, timeout=DEADLINE_S)
        new = make_certificates(tmp_path)
        server.process.send_signal(signal.SIGHUP)
        server.read_until("certificate_reloaded")
        after = ssl.get_server_certificate(server.address, timeout=DEADLINE_S)
        assert before != after
        assert new.cert.read_text(encoding="ascii").startswith(after.strip())


def test_failed_renewal_is_logged_and_serving_goes_on(tmp_path) -> None:
    """Half-written files must not take the server down before somebody reads its log."""
    files = make_certificates(tmp_path)
    with serving(files.cert, files.key) as server:
        before = ssl.get_server_certificate(server.address, timeout=DEADLINE_S)
        files.key.write_text("half a key", encoding="ascii")
        server.process.send_signal(signal.SIGHUP)
        server.read_until("certificate_kept")
        assert ssl.get_server_certificate(server.address, timeout=DEADLINE_S) == before
