"""Runs one node in this process from start to end.

Order of a start: raise the file limit, bind the ports (a taken port is told before anything is opened), open the
node, listen, freeze the heap, tell the person. Order of an end: readiness says no, the ports close, requests in flight
finish within the deadline, the node closes. A second signal ends the process at once; that loses nothing that was
acknowledged.

Exit codes: 0 ended in order; 1 requests were cut at the drain deadline; 2 refused to start; 128+n ended at once
by the second signal n.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog
import uvloop

from objstore.server.addresses import Address, parse_address
from objstore.server.allocator import keep_freed_memory
from objstore.server.banner import banner
from objstore.server.health import Readiness
from objstore.server.keys import RootKeys
from objstore.server.listener import AsgiApp, Listener, bind, bind_first
from objstore.server.refusal import StartRefused
from objstore.server.settings import Settings
from objstore.server.tls import load_tls, reload_tls

__all__ = ["OpenNode", "ServedNode", "Workers", "reload_certificate", "run"]

EXIT_IN_ORDER = 0
EXIT_REQUESTS_CUT = 1
_SIGNALLED = 128

_log = structlog.get_logger("objstore.serve")


class ServedNode(Protocol):
    """What serving needs of a node; the composition root opens it."""

    @property
    def app(self) -> AsgiApp:
        """The S3 application."""
        ...

    @property
    def readiness(self) -> Readiness:
        """What `/_/health/ready` answers from; serving marks it when draining begins."""
        ...

    @property
    def root_keys(self) -> RootKeys:
        """The root pair, for the banner."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """Facts that the person at the terminal should know, for the banner."""
        ...

    @property
    def workers(self) -> Workers | None:
        """The other processes that serve; None where this one is alone."""
        ...


class Workers(Protocol):
    """The other processes that serve S3 for this node."""

    def reload_certificates(self) -> None:
        """Let each of them read its certificate again."""
        ...

    async def drain(self, deadline_s: float) -> int:
        """Let all of them finish their requests and end; return how many requests were cut."""
        ...


OpenNode = Callable[[Settings], AbstractAsyncContextManager[ServedNode]]
"""Opens a node and makes everything true that readiness promises; closes it on exit."""


def run(
    settings: Settings,
    open_node: OpenNode,
    *,
    announce: Callable[[str], None],
    started_s: float | None = None,
) -> int:
    """Serve until a signal comes; return the exit code. Raises `StartRefused` when it cannot start.

    `started_s` is the monotonic time that the banner counts from.
    """
    begun_s = time.monotonic() if started_s is None else started_s
    _raise_file_limit(settings.listen.connections_max)
    keep_freed_memory()
    with (
        _with_directories(settings) as complete,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_serve(complete, open_node, announce=announce, begun_s=begun_s))


async def _serve(
    settings: Settings, open_node: OpenNode, *, announce: Callable[[str], None], begun_s: float
) -> int:
    listen = settings.listen
    tls = load_tls(listen.tls_cert, listen.tls_key) if listen.tls_cert and listen.tls_key else None
    address = parse_address(listen.address)
    sockets = bind(address) if settings.workers == 1 else bind_first(address)
    host, port = sockets[0].getsockname()[:2]
    stop = asyncio.Event()
    hang_ups: list[Callable[[], None]] = []
    with _signals(stop, settings, tls, hang_ups):
        async with open_node(_at_port(settings, address, port)) as node:
            if node.workers is not None:
                hang_ups.append(node.workers.reload_certificates)
            listener = Listener(node.app, listen, tls=tls)
            await listener.start(sockets)
            sweeper = asyncio.TaskGroup()
            async with sweeper:
                watch = sweeper.create_task(listener.sweep())
                gc.collect()
                gc.freeze()
                announce(
                    banner(
                        settings,
                        Address(host, port),
                        node.root_keys,
                        notices=node.notices,
                        ready_after_s=time.monotonic() - begun_s,
                    )
                )
                await stop.wait()
                cut = await _drain(node, listener, listen.drain_deadline_s)
                watch.cancel()
    return EXIT_REQUESTS_CUT if cut else EXIT_IN_ORDER


async def _drain(node: ServedNode, listener: Listener, deadline_s: float) -> int:
    node.readiness.begin_drain()
    _log.info("drain_started", requests=listener.requests, deadline_s=deadline_s)
    cut, *cut_elsewhere = await asyncio.gather(
        listener.drain(deadline_s),
        *([] if node.workers is None else [node.workers.drain(deadline_s)]),
    )
    cut += sum(cut_elsewhere)
    _log.info("drain_ended", requests_cut=cut)
    return cut


def reload_certificate(tls: ssl.SSLContext | None, settings: Settings) -> None:
    """Read the certificate again; the one in use stays where the new one cannot be used."""
    cert, key = settings.listen.tls_cert, settings.listen.tls_key
    if tls is None or cert is None or key is None:
        return
    try:
        reload_tls(tls, cert, key)
    except StartRefused as refusal:
        _log.error("certificate_kept", cause=str(refusal))
    else:
        _log.info("certificate_reloaded", file=str(cert))


def _at_port(settings: Settings, address: Address, port: int) -> Settings:
    """Return the settings with the port that was bound, where any was asked for."""
    bound = str(address._replace(port=port))
    return replace(settings, listen=replace(settings.listen, address=bound))


@contextlib.contextmanager
def _signals(
    stop: asyncio.Event,
    settings: Settings,
    tls: ssl.SSLContext | None,
    hang_ups: Sequence[Callable[[], None]],
) -> Iterator[None]:
    """First SIGTERM or SIGINT asks for the end, a second one ends at once; SIGHUP reads certificates again."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        if stop.is_set():
            os._exit(_SIGNALLED + number)  # every acknowledged write is durable already
        stop.set()

    def reload() -> None:
        reload_certificate(tls, settings)
        for told in hang_ups:
            told()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _with_directories(settings: Settings) -> Iterator[Settings]:
    """Give development mode without a directory a temporary one, and take it away afterwards."""
    if settings.storage.dirs or not settings.dev:
        yield settings
        return
    directory = Path(tempfile.mkdtemp(prefix="objstore-dev-"))
    try:
        yield replace(settings, storage=replace(settings.storage, dirs=(directory,)))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _raise_file_limit(connections_max: int) -> None:
    """Allow as many open files as the machine grants this process; refuse what cannot hold the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20)
    if soft != wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted <= connections_max:
        raise StartRefused(
            f"connections_max is {connections_max}, but this process may open only {wanted} files",
            next_step="lower connections_max or raise the limit (ulimit -n, LimitNOFILE=)",
        )
