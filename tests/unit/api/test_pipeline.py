"""The steps of a request, in their order, over a real registry and real signatures."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from objstore.api.pipeline import Pipeline
from objstore.cluster.sqlite_control_store import SqliteControlStore
from objstore.metadata import CatalogStore, SqlCatalog
from objstore.model.errors import InvariantError, QuorumNotReached
from objstore.model.instant import Instant
from objstore.s3 import xml
from objstore.s3.outputs import EmptyOutput
from objstore.s3.signature import Authenticator, RegionPolicy, SigningKeyCache
from objstore.service.identities import Identities, UserEntry
from objstore.service.ports import Ids
from objstore.service.registry import BucketRegistry
from objstore.testing.catalog_kit import bucket_record
from objstore.testing.raw_client import RawCall, RawClient, shifted

CLIENT = RawClient("store", 80, "root-key", "root-secret")
IDENTITIES = Identities([UserEntry("root", "root-key", "root-secret", is_root=True)])


class Steps:
    """Notes which part was asked, and passes the call on."""

    def __init__(self, inner, step, notes):
        self._inner = inner
        self._step = step
        self._notes = notes

    def __getattr__(self, name):
        self._notes.append(self._step)
        return getattr(self._inner, name)


class Log:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.done = []
        self.failed = []

    def request_done(self, operation, status, **figures):
        self.done.append((operation, status, figures["request_id"]))

    def request_failed(self, operation, request_id, error):
        self.failed.append((operation, request_id, error))


class Clock:
    def __init__(self, at):
        self.at = at

    def now(self):
        return Instant(int(self.at.timestamp() * 1000))

    def monotonic_s(self):
        return 0.0


class Edge:
    """A pipeline whose handlers are the test's."""

    def __init__(self, registry, handlers):
        self.at = shifted(0)
        self.notes = []
        self.log = Log()
        self.pool = ThreadPoolExecutor(1)
        authenticator = Authenticator(
            IDENTITIES, SigningKeyCache(), RegionPolicy("us-east-1", False)
        )
        self.pipeline = Pipeline(
            handlers=handlers,
            registry=Steps(registry, "bucket", self.notes),
            identities=IDENTITIES,
            authenticator=Steps(authenticator, "authenticate", self.notes),
            clock=Clock(self.at),
            observer=self.log,
            hash_pool=self.pool,
            domains=(),
            host_id=bytes(range(24)),
            public_url="https://public.example/",
        )

    async def ask(self, method, path, query=(), body=b"", *, sign=True, headers=()):
        if not any(name == "transfer-encoding" for name, _ in headers):
            headers = (*headers, ("content-length", str(len(body))))
        call = RawCall(method, path, tuple(query), headers, body)
        call = CLIENT.signed(call, at=self.at) if sign else call.with_headers(("host", "store"))
        scope = {
            "method": method,
            "scheme": "http",
            "raw_path": path.encode(),
            "query_string": call.query_string.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in call.headers],
        }
        sent = []

        async def receive():
            self.notes.append("read")
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        await self.pipeline(scope, receive, send)
        return sent


@pytest.fixture
def run(tmp_path):
    """Run a story with an edge over a registry that knows `bucket-1`."""

    def run_story(story, handlers):
        async def main():
            async with (
                CatalogStore(tmp_path / "catalog.sqlite", on_fatal=lambda _error: None) as store,
                SqliteControlStore(
                    tmp_path / "control.sqlite", on_fatal=lambda _error: None
                ) as control,
            ):
                ids = Ids(random.Random(1).randbytes)
                registry = BucketRegistry(control, SqlCatalog([store]), ids)
                await registry.publish(bucket_record(), Instant(1))
                await story(Edge(registry, handlers))

        anyio.run(main)

    return run_story


def answering(output, notes=None):
    async def handler(call, request):
        if notes is not None:
            notes.append((call, request))
        if isinstance(output, Exception):
            raise output
        return output

    return handler


def status_of(sent):
    return sent[0]["status"]


def test_steps_come_in_their_order(run):
    """Who, then where, then the body, then the work (s3 rule 1.6.1)."""
    seen = []

    async def story(edge):
        document = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        sent = await edge.ask("PUT", "/bucket-1", (("versioning", ""),), document)
        assert status_of(sent) == 200
        assert edge.notes == ["authenticate", "bucket", "read"]
        (call, request) = seen[0]
        assert call.identity.is_root
        assert call.bucket.name == request.bucket == "bucket-1"
        assert call.endpoint == "https://public.example"
        assert call.request_id == edge.log.done[0][2]

    run(story, {"put_bucket_versioning": answering(EmptyOutput(), seen)})


def test_each_refusal_stops_the_steps_behind_it(run):
    """And is counted under its operation, although nobody was let in."""

    async def story(edge):
        assert (
            status_of(
                await edge.ask(
                    "PUT", "/bucket-1/k", body=b"x", headers=(("authorization", "x"),), sign=False
                )
            )
            >= 400
        )
        assert edge.notes == ["authenticate"]
        edge.notes.clear()
        assert status_of(await edge.ask("PUT", "/bucket-1/k", body=b"x", sign=False)) == 403
        assert edge.notes == ["authenticate"]
        edge.notes.clear()
        assert status_of(await edge.ask("PUT", "/unknown/k", body=b"x")) == 404
        assert edge.notes == ["authenticate", "bucket"]
        edge.notes.clear()
        assert status_of(await edge.ask("PUT", "/bucket-1/k", body=b"x")) == 501
        assert edge.notes == ["authenticate", "bucket"]
        assert {operation for operation, _, _ in edge.log.done} == {"PutObject"}

    run(story, {})


def test_target_that_cannot_be_parsed_is_answered(run):
    """Before there is an operation: counted as unknown."""

    async def story(edge):
        assert status_of(await edge.ask("GET", "/bucket-1/%zz")) == 400
        assert edge.notes == []
        assert edge.log.done[0][0] == "Unknown"

    run(story, {})


def test_ids_are_never_repeated(run):
    """A user quotes the id, and it must lead to one request (s3 rule 1.7.1)."""

    async def story(edge):
        ids = {edge.pipeline.next_request_id() for _ in range(1000)}
        assert len(ids) == 1000
        assert all(len(text) == 16 and int(text, 16) for text in ids)

    run(story, {})


@pytest.mark.parametrize(
    ("error", "status", "is_told"),
    [
        (InvariantError("our own bug"), 500, True),
        (ValueError("unforeseen"), 500, True),
        (QuorumNotReached("later"), 503, False),
    ],
)
def test_faults_of_ours_are_told_once(run, error, status, is_told):
    """With the request id; weather is no fault, and no text of a bug reaches the client."""

    async def story(edge):
        sent = await edge.ask("GET", "/bucket-1", (("location", ""),))
        assert status_of(sent) == status
        assert b"our own bug" not in sent[1]["body"]
        assert b"unforeseen" not in sent[1]["body"]
        assert len(edge.log.failed) == int(is_told)
        if is_told:
            operation, request_id, told = edge.log.failed[0]
            assert (operation, told) == ("GetBucketLocation", error)
            assert request_id == edge.log.done[0][2]

    run(story, {"get_bucket_location": answering(error)})


def test_answer_that_cannot_be_encoded_is_a_fault(run):
    """A handler that returns nonsense must not leave the client without an answer."""

    async def story(edge):
        sent = await edge.ask("GET", "/bucket-1", (("location", ""),))
        assert status_of(sent) == 500
        assert len(edge.log.failed) == 1

    run(story, {"get_bucket_location": answering(object())})


@pytest.mark.parametrize("is_announced", [True, False])
def test_document_is_bounded(run, is_announced):
    """By what comes, where nothing is announced; by what is announced before anything is read (s3 rule 1.6.4)."""

    async def story(edge):
        document = b" " * (1024 * 1024 + 1)
        length = () if is_announced else (("transfer-encoding", "chunked"),)
        sent = await edge.ask("PUT", "/bucket-1", (("versioning", ""),), document, headers=length)
        assert status_of(sent) == 400
        assert b"MaxMessageLengthExceeded" in sent[1]["body"]
        assert ("read" in edge.notes) is not is_announced

    run(story, {"put_bucket_versioning": answering(EmptyOutput())})


def test_a_long_document_is_read_in_a_thread(run, monkeypatch):
    """While it is parsed the loop answers others; a short one is parsed at once. What is wrong with it is told all the same."""
    parsed = []
    decode = xml.decode

    def noted(content, **limits):
        parsed.append((len(content), threading.current_thread() is threading.main_thread()))
        return decode(content, **limits)

    monkeypatch.setattr(xml, "decode", noted)

    async def story(edge):
        inner = b"<VersioningConfiguration><Status>Enabled</Status>%b</VersioningConfiguration>"
        for blanks, status in ((0, 200), (100_000, 200)):
            sent = await edge.ask(
                "PUT", "/bucket-1", (("versioning", ""),), inner % (b" " * blanks)
            )
            assert status_of(sent) == status
        sent = await edge.ask("PUT", "/bucket-1", (("versioning", ""),), b"<a>" * 30_000)
        assert status_of(sent) == 400
        assert [in_main for _, in_main in parsed] == [True, False, False]

    run(story, {"put_bucket_versioning": answering(EmptyOutput())})


def test_nobody_asks_who_sends_a_preflight_or_a_form(run):
    """A preflight is not signed, though its query may be; a form's signature is in its body (s3 rules 6.5.2, 2.6.3)."""
    seen = []

    async def story(edge):
        origin = (("origin", "https://a"), ("access-control-request-method", "PUT"))
        for path in ("/bucket-1/k", "/unknown"):
            sent = await edge.ask(
                "OPTIONS", path, (("X-Amz-Signature", "x"),), sign=False, headers=origin
            )
            assert status_of(sent) == 200
        assert edge.notes == []
        assert [call.bucket for call, _ in seen] == [None, None]
        form = (("content-type", "multipart/form-data; boundary=x"),)
        sent = await edge.ask("POST", "/unknown", sign=False, headers=form)
        assert status_of(sent) == 501
        assert edge.notes == ["authenticate"]

    run(story, {"preflight_request": answering(EmptyOutput(), seen)})
