"""A gateway worker: a process that serves S3 beside the one that owns the data.

It reads the catalogue and shards from the drives; every change goes to the owner. Signals are the owner's business: a terminal
and a service supervisor send them to all processes of a service, and the owner tells its workers what to do. When the owner
is gone, the worker ends at once: it could only fail what it is asked.

Run as `python -m objstore.server.worker_process SOCKET PAGE OWNER CLUSTER NAME` by `objstore.server.workers`: descriptors of a
connected socket and of a shared page, and the process id of the owner.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
import uvloop

from objstore.api.app import NodeApp
from objstore.cluster.framed_transport import FramedConnection, connect
from objstore.cluster.shared_page import PageReader
from objstore.model.errors import Unavailable
from objstore.replication.scheme import scheme_for
from objstore.replication.store import DataStore
from objstore.server.addresses import parse_address
from objstore.server.allocator import keep_freed_memory
from objstore.server.clock import SystemClock
from objstore.server.damage import DamageReports
from objstore.server.gateway import GatewayParts, open_gateway
from objstore.server.health import Readiness, health_app
from objstore.server.listener import Listener, bind
from objstore.server.logs import configure_logs
from objstore.server.metrics import Metrics
from objstore.server.serve import reload_certificate
from objstore.server.site_news import FollowedSites
from objstore.server.tls import load_tls
from objstore.server.worker_link import (
    ASSIGNMENT,
    COUNTS,
    DRAIN,
    RELOAD,
    SERVING,
    SITES,
    Assignment,
    decode_assignment,
)
from objstore.server.worker_pages import OwnPages
from objstore.server.worker_stores import Beside, open_worker_stores
from objstore.service.ports import Ids

__all__ = ["main"]

CALL_S: Final = 20.0
EXIT_OWNER_GONE: Final = 4

_log = structlog.get_logger("objstore.worker-process")


@dataclass(frozen=True, slots=True)
class _Worker:
    """An open worker: what serving needs of it."""

    app: NodeApp
    readiness: Readiness
    metrics: Metrics
    reports: DamageReports
    sites: FollowedSites | None


def main() -> None:
    """Serve until the owner says that it is enough."""
    connected = socket.socket(fileno=int(sys.argv[1]))
    page = PageReader(int(sys.argv[2]), owner_pid=int(sys.argv[3]))
    cluster_id, name = sys.argv[4:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(connected, page, cluster_id=cluster_id, name=name))


async def _run(connected: socket.socket, page: PageReader, *, cluster_id: str, name: str) -> None:
    duties = _Duties()
    connected.setblocking(False)
    async with connect(connected, duties.handle, cluster_id=cluster_id, name=name) as owner:
        assignment = decode_assignment(await owner.call(ASSIGNMENT, deadline_s=CALL_S))
        configure_logs(assignment.settings.log)
        beside = Beside(owner, page, cluster_id, SystemClock())
        async with asyncio.TaskGroup() as group, _open(assignment, beside) as worker:
            watch = group.create_task(_end_with(owner))
            background = [
                group.create_task(worker.metrics.sample_loop_lag()),
                group.create_task(worker.reports.send()),
            ]
            if worker.sites is not None:
                background.append(group.create_task(worker.sites.watch(owner)))
            await _serve(assignment, worker, owner, duties)
            for task in (watch, *background):
                task.cancel()


async def _end_with(owner: FramedConnection) -> None:
    await owner.closed.wait()
    _log.warning("owner_gone")
    os._exit(
        EXIT_OWNER_GONE
    )  # nothing here is worth saving: whatever was acknowledged is the owner's


async def _serve(
    assignment: Assignment, worker: _Worker, owner: FramedConnection, duties: _Duties
) -> None:
    listen = assignment.settings.listen
    tls = load_tls(listen.tls_cert, listen.tls_key) if listen.tls_cert and listen.tls_key else None
    listener = Listener(worker.app, listen, tls=tls)
    await listener.start(bind(parse_address(listen.address), is_shared=True))
    duties.begin(worker, listener, lambda: reload_certificate(tls, assignment.settings))
    gc.collect()
    gc.freeze()
    worker.readiness.become_ready()
    await owner.call(SERVING, deadline_s=CALL_S)
    sweeper = asyncio.get_running_loop().create_task(listener.sweep())
    await duties.done.wait()
    sweeper.cancel()


@asynccontextmanager
async def _open(assignment: Assignment, beside: Beside) -> AsyncIterator[_Worker]:
    settings, owner, clock = assignment.settings, beside.owner, beside.clock
    async with AsyncExitStack() as stack:
        stores = await open_worker_stores(stack, settings, beside)
        reports = DamageReports(owner)
        data = await stack.enter_async_context(
            DataStore(
                stores.drives,
                stores.rings,
                scheme=scheme_for(len(stores.rings.current.members)),
                on_damage=reports.report,
                block_bytes=settings.storage.block_bytes,
            )
        )
        metrics = Metrics()
        readiness = Readiness()
        gateway = stack.enter_context(
            open_gateway(
                GatewayParts(
                    settings=settings,
                    control=stores.control,
                    catalog=stores.catalog,
                    data=data,
                    ids=Ids(os.urandom),
                    clock=clock,
                    root_keys=assignment.root_keys,
                    metrics=metrics,
                    host_id=assignment.host_id,
                )
            )
        )
        readiness.on_drain(gateway.pipeline.drain)
        local = health_app(readiness=readiness, metrics=metrics, clock=clock, cluster=dict)
        app = NodeApp(gateway.pipeline, OwnPages(local, owner))
        yield _Worker(app, readiness, metrics, reports, stores.sites)


class _Duties:
    """What the owner may ask of a worker."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self._methods: Mapping[str, Callable[[bytes], Awaitable[bytes]]] = {}

    def begin(self, worker: _Worker, listener: Listener, reload: Callable[[], None]) -> None:
        """Have something to answer with."""

        async def tell_counts(_body: bytes) -> bytes:
            return msgspec.msgpack.encode(worker.metrics.counts())

        async def reload_files(_body: bytes) -> bytes:
            reload()
            return b""

        async def drain(body: bytes) -> bytes:
            worker.readiness.begin_drain()
            cut = await listener.drain(msgspec.msgpack.decode(body, type=float))
            self.done.set()
            return msgspec.msgpack.encode(cut)

        async def take_sites(body: bytes) -> bytes:
            is_whole = worker.sites is None or await worker.sites.take(body)
            return msgspec.msgpack.encode(is_whole)

        self._methods = {
            COUNTS: tell_counts,
            RELOAD: reload_files,
            DRAIN: drain,
            SITES: take_sites,
        }

    async def handle(self, _owner: FramedConnection, method: str, body: bytes) -> bytes:
        """Carry out one request of the owner."""
        call = self._methods.get(method)
        if call is None:
            raise Unavailable("the worker cannot be asked that now", method=method)
        return await call(body)


if __name__ == "__main__":
    main()
