"""The client of etcd against a server that answers by script: what a real one does too rarely to wait for."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from objstore.cluster.etcd_control_store import EtcdControlStore
from objstore.cluster.etcd_http import parse_endpoint
from objstore.cluster.etcd_members import EtcdSettings
from objstore.model.errors import ControlStoreUnfit, HistoryForgotten, StorageFull, Unavailable

HANG, DROP, GARBAGE = "hang", "drop", "garbage"
STATUS = {"header": {"cluster_id": "7", "revision": "5"}, "version": "3.5.21"}
RANGE = {"header": {"cluster_id": "7", "revision": "5"}}


class Script:
    """A server: what it answers by path, and what it was asked."""

    def __init__(self, **answers):
        self.answers = {"maintenance/status": STATUS, "kv/range": RANGE} | {
            path.replace("_", "/"): answer for path, answer in answers.items()
        }
        self.asked = []
        self.tasks = set()

    def count(self, path):
        return sum(asked == path for asked, _ in self.asked)

    async def ended(self):
        await asyncio.gather(*self.tasks)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split()[1].decode().removeprefix("/v3/")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                self.asked.append((path, body | {"_head": head.decode()}))
                answer = self.answers[path]
                if callable(answer):
                    answer = answer(self)
                if answer == DROP:
                    return
                if answer == HANG:
                    await reader.read()
                if answer == GARBAGE:
                    writer.write(b"SSH-2.0\r\n\r\n")
                else:
                    self.reply(writer, path, answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            self.tasks.remove(asyncio.current_task())

    def reply(self, writer, path, answer):
        if path == "watch":
            lines = b"".join(json.dumps(line).encode() + b"\n" for line in answer)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(lines), lines))
            return
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        body = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 %d Words\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        )


def refusal(code, text, status=503):
    return status, {"error": text, "message": text, "code": code}


@asynccontextmanager
async def opened(*scripts, **settings):
    """Open a store on scripted servers, with short deadlines."""
    async with AsyncExitStack() as stack:
        urls = []
        for script in scripts:
            server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
            stack.callback(server.close)
            stack.push_async_callback(script.ended)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        chosen = {"attempt_s": 0.2, "call_s": 0.6, "watch_patience_s": 0.0} | settings
        yield await stack.enter_async_context(
            EtcdControlStore(
                EtcdSettings(tuple(urls), key_prefix="p/", **chosen), jitter=random.Random(1)
            )
        )


@pytest.mark.parametrize("fault", [HANG, DROP, GARBAGE])
def test_a_write_is_never_sent_twice(fault):
    """It may have been carried out: a second one could hand out an epoch twice or undo somebody's change (T7)."""
    scripts = [Script(kv_put=fault), Script(kv_put=RANGE)]

    async def scenario():
        async with opened(*scripts) as store:
            with pytest.raises(Unavailable, match="unknown"):
                await store.put("a", b"1")

    asyncio.run(scenario())
    assert [script.count("kv/put") for script in scripts] == [1, 0]


@pytest.mark.parametrize(
    "fault", [HANG, DROP, GARBAGE, refusal(14, "etcdserver: no leader"), {"header": {}, "kvs": 3}]
)
def test_a_read_goes_to_the_next_server(fault):
    """Losing one server of three loses nothing, however it is lost; but nonsense is not asked for twice."""
    scripts = [Script(kv_range=fault), Script()]

    async def scenario():
        async with opened(*scripts) as store:
            assert await store.revision() == 5
            assert await store.revision() == 5

    if isinstance(fault, dict):
        with pytest.raises(Unavailable):
            asyncio.run(scenario())
        return
    asyncio.run(scenario())
    assert [script.count("kv/range") for script in scripts] == [1, 2]


def test_a_write_goes_to_the_first_server_that_can_be_reached():
    """Nothing was sent to the one that hung before it told its version."""
    scripts = [Script(maintenance_status=HANG), Script(kv_put=RANGE)]

    async def scenario():
        async with opened(*scripts) as store:
            assert await store.put("a", b"1") == 5

    asyncio.run(scenario())
    assert [script.count("kv/put") for script in scripts] == [0, 1]


def test_a_bad_server_gets_no_request():
    """Not even a read: what it answers may be wrong already. The text tells the operator what to do."""
    bad = Script(maintenance_status=STATUS | {"version": "3.5.4"})

    async def scenario():
        async with opened(bad) as store:
            with pytest.raises(ControlStoreUnfit, match=r"install 3\.5\.6 or later.*3\.5\.4"):
                await store.get("a")
            with pytest.raises(ControlStoreUnfit):
                await store.put("a", b"1")
            with pytest.raises(ControlStoreUnfit):
                await anext(store.watch("", after_revision=0))

    asyncio.run(scenario())
    assert {path for path, _ in bad.asked} == {"maintenance/status"}


def test_the_check_at_start_looks_at_every_server():
    """A bad member takes part in the majority, whichever server is asked; one that is away is not a reason to refuse."""
    good, away = Script(), Script(maintenance_status=HANG)
    bad = Script(maintenance_status=STATUS | {"version": "3.5.0"})

    async def scenario():
        async with opened(good, away) as store:
            (silent,) = await store.check_servers()
            assert silent.startswith("http://127.0.0.1:")
            assert await store.revision() == 5
        async with opened(good, away, bad) as store:
            with pytest.raises(ControlStoreUnfit, match=r"3\.5\.0"):
                await store.check_servers()

    asyncio.run(scenario())


def test_a_server_that_was_replaced_is_asked_again():
    """A downgrade needs a restart, and a restart breaks the connections."""
    script = Script()

    async def scenario():
        async with opened(script) as store:
            await store.revision()
            await store.revision()
            assert script.count("maintenance/status") == 1
            script.answers |= {"kv/range": DROP}
            with pytest.raises(Unavailable):
                await store.revision()
            script.answers |= {"maintenance/status": STATUS | {"version": "3.4.21"}}
            with pytest.raises(ControlStoreUnfit):
                await store.revision()

    asyncio.run(scenario())


def test_a_member_of_another_cluster_is_passed_over():
    """Endpoints mixed up in a file must not become one store with two truths."""
    other = {"header": {"cluster_id": "8"}, "version": "3.5.21"}
    scripts = [Script(), Script(maintenance_status=other)]

    async def scenario():
        async with opened(*scripts) as store:
            await store.revision()
            scripts[0].answers["kv/range"] = HANG
            with pytest.raises(ControlStoreUnfit, match="another etcd cluster"):
                await store.revision()

    asyncio.run(scenario())
    assert scripts[1].count("kv/range") == 0


def test_something_else_on_the_port_is_refused():
    """A proxy's welcome page must not be taken for an empty store."""

    async def scenario():
        async with opened(Script(maintenance_status=["hello"])) as store:
            with pytest.raises(ControlStoreUnfit, match="not an etcd"):
                await store.get("a")

    asyncio.run(scenario())


def test_a_full_server_says_so():
    """Waiting does not make room: the operator has to."""
    full = refusal(8, "etcdserver: mvcc: database space exceeded", 429)

    async def scenario():
        async with opened(Script(kv_put=full)) as store:
            with pytest.raises(StorageFull):
                await store.put("a", b"1")

    asyncio.run(scenario())


def test_calls_beyond_the_limit_wait_and_are_bounded_by_their_deadline():
    """A hanging store must not collect connections and callers without end."""
    script = Script(kv_range=HANG)

    async def scenario():
        async with opened(script, connections_max=2) as store:
            calls = [store.get("a") for _ in range(6)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, Unavailable) for each in found)

    asyncio.run(scenario())
    assert script.count("kv/range") <= 6


def test_a_refused_token_is_renewed_once():
    """Tokens expire after minutes; the request was refused before anything was done, so it may be sent again."""

    def put(script):
        token = script.asked[-1][1]["_head"].partition("Authorization: ")[2].split("\r\n")[0]
        return RANGE if token == "t2" else refusal(16, "etcdserver: invalid auth token", 401)

    def login(script):
        return {"token": f"t{script.count('auth/authenticate')}"}

    script = Script(kv_put=put, auth_authenticate=login)

    async def scenario():
        async with opened(script, user="u", password="p") as store:
            assert await store.put("a", b"1") == 5
            assert await store.put("a", b"1") == 5

    asyncio.run(scenario())
    assert script.count("auth/authenticate") == 2
    assert script.count("kv/put") == 3


def test_a_server_that_tells_strangers_nothing_is_checked_all_the_same():
    """Since 3.6 the status needs a user, too; a token from before a restart must not lock the node out."""

    def status(script):
        head = script.asked[-1][1]["_head"]
        if "Authorization: t2" in head:
            return STATUS
        words = "invalid auth token" if "Authorization" in head else "user name is empty"
        return refusal(16, f"etcdserver: {words}", 401)

    def login(script):
        return {"token": f"t{script.count('auth/authenticate')}"}

    script = Script(maintenance_status=status, auth_authenticate=login)

    async def scenario():
        async with opened(script, user="u", password="p") as store:
            assert await store.revision() == 5
        async with opened(script) as store:
            with pytest.raises(Unavailable, match="user name is empty"):
                await store.revision()

    asyncio.run(scenario())
    assert script.count("auth/authenticate") == 2


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def event(key, revision):
    return {"kv": {"key": encoded(f"p/{key}"), "mod_revision": str(revision), "value": ""}}


def test_events_that_come_with_the_first_answer_are_not_lost():
    """The server may put the confirmation and the first events into one packet."""
    created = {"result": {"created": True, "header": {"revision": "9"}}}
    events = {"result": {"events": [event("a", 6), event("b", 7)]}}
    script = Script(watch=[created, events])

    async def scenario():
        async with opened(script) as store:
            changes = store.watch("", after_revision=5)
            assert [(await anext(changes)).key, (await anext(changes)).key] == ["a", "b"]
            await changes.aclose()

    asyncio.run(scenario())
    (request,) = [body["create_request"] for path, body in script.asked if path == "watch"]
    assert request["start_revision"] == 6
    assert "hasleader: true" in next(
        body["_head"] for path, body in script.asked if path == "watch"
    )


def test_a_server_that_repeats_itself_is_not_believed():
    """Some servers go back in time when they catch up from a snapshot; a cache must not follow them."""
    events = {"result": {"events": [event("a", revision) for revision in (6, 7, 5, 6, 7, 8)]}}

    async def scenario():
        async with opened(Script(watch=[{"result": {"created": True}}, events])) as store:
            changes = store.watch("", after_revision=5)
            assert [(await anext(changes)).revision for _ in range(3)] == [6, 7, 8]
            await changes.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "end",
    [
        {"error": {"message": "etcdserver: no leader", "grpc_code": 14}},
        {"result": {"canceled": True, "cancel_reason": "why"}},
        {"surprise": 1},
        "not an object",
    ],
)
def test_a_watch_that_is_ended_begins_again_where_it_was(end):
    """Whatever ends it: the next one starts after the last change that was given."""
    created = {"result": {"created": True}}

    def watch(script):
        first = script.count("watch") == 1
        return [created, {"result": {"events": [event("a", 6 if first else 8)]}}, *([end] * first)]

    script = Script(watch=watch)

    async def scenario():
        async with opened(script, watch_patience_s=5.0) as store:
            changes = store.watch("", after_revision=5)
            assert [(await anext(changes)).revision for _ in range(2)] == [6, 8]
            await changes.aclose()

    asyncio.run(scenario())
    asked = [body["create_request"] for path, body in script.asked if path == "watch"]
    assert [request["start_revision"] for request in asked] == [6, 7]


def test_a_quiet_watch_on_a_server_without_majority_is_left():
    """Such a server would stay quiet for ever: a read, which needs the majority, finds it out."""
    created = {"result": {"created": True}}
    cut_off = Script(watch=[created])
    healthy = Script(watch=[created, {"result": {"events": [event("a", 6)]}}])

    async def scenario():
        async with opened(cut_off, healthy, watch_probe_s=0.05, watch_patience_s=5.0) as store:
            changes = store.watch("", after_revision=5)
            waiting = asyncio.ensure_future(anext(changes))  # noqa: TID251 - awaited below
            while not cut_off.count("kv/range"):  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)
            cut_off.answers["kv/range"] = HANG
            assert (await waiting).revision == 6
            await changes.aclose()

    asyncio.run(scenario())


def test_compacted_history_ends_a_watch():
    """A gap is told, whether it is found at the start or later."""
    compacted = [
        {"result": {"created": True}},
        {"result": {"canceled": True, "compact_revision": "9"}},
    ]

    async def scenario():
        async with opened(Script(watch=compacted)) as store:
            with pytest.raises(HistoryForgotten):
                await anext(store.watch("", after_revision=0))

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["", "etcd:2379", "ftp://h:1", "http://", "http://h:1/path"])
def test_what_is_not_an_endpoint_is_refused(url):
    """A forgotten scheme is the usual slip; it must not become a connection somewhere else."""
    with pytest.raises(ValueError, match="not the URL"):
        parse_endpoint(url)


def test_an_endpoint_has_a_default_port():
    """2379 is where etcd listens unless told otherwise."""
    assert parse_endpoint("https://h").port == 2379
    assert parse_endpoint("https://h").is_tls
