"""The bench's own place in a store: makes a bucket or uses the given one, and takes away what it made.

It touches nothing outside its bucket and prefix. `ask` sends single requests, for which speed does not matter.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from typing import Final
from xml.sax.saxutils import escape, unescape

import msgspec

from objstore.model.instant import Clock
from objstore.s3.signature.canonical import canonical_query, encode_component, hash_of_text
from objstore.server.bench.connection import open_connection
from objstore.server.bench.refusal import BenchRefused
from objstore.server.bench.request import Answer, Request
from objstore.server.bench.signer import Signer
from objstore.server.bench.target import Target

__all__ = ["Place", "Store"]

_ANSWER_DEADLINE_S: Final = 60.0
_PAGE: Final = 1_000
_HINTS: Final = {
    "InvalidAccessKeyId": "check --access-key; the server does not know this one",
    "SignatureDoesNotMatch": "check --secret-key and --region; if a proxy is between, it must keep the Host header",
    "AuthorizationHeaderMalformed": "check --region; the server expects another one",
    "AccessDenied": "this key may not do that: give one that may create a bucket, or a --bucket that it may write to",
    "RequestTimeTooSkewed": "set the clock of this machine: it differs from the server's by too much",
    "BucketAlreadyExists": "the name belongs to somebody else: give another --bucket",
    "NoSuchBucket": "give the name of a bucket that exists, or leave --bucket out to have one made",
}


class Place(msgspec.Struct, frozen=True):
    """Where objects of a run lie."""

    bucket: str
    prefix: str
    is_made: bool
    """Whether the bucket was made by this run and goes with it."""

    def path(self, group: str) -> bytes:
        """Return the path of a group's keys up to their number."""
        return f"/{self.bucket}/{self.prefix}{group}/".encode()


class Store:
    """A target, asked one request at a time."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._signer = Signer(target.credentials, target.host_header, clock)

    async def ask(self, request: Request) -> Answer:
        """Send one request on a connection of its own. Raises `BenchRefused` when no answer comes."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[Answer] = loop.create_future()

        def lost(reason: str) -> None:
            if not arrived.done():
                arrived.set_exception(ConnectionError(reason))

        try:
            connection = await open_connection(
                self._target, self._signer, on_answer=arrived.set_result, on_lost=lost
            )
            try:
                connection.send(request)
                async with asyncio.timeout(_ANSWER_DEADLINE_S):
                    return await arrived
            finally:
                arrived.cancel()
                connection.close()
        except OSError as error:
            raise self._unreachable(error) from error

    async def make_place(self, bucket: str | None, run_id: str) -> Place:
        """Make the bucket unless it is there. Raises `BenchRefused` with a next step for what can be corrected."""
        name = bucket or f"objstore-bench-{run_id}"
        prefix = f"objstore-bench/{run_id}/"
        path = f"/{name}".encode()
        if bucket is not None:
            found = await self.ask(Request(b"GET", path, b"list-type=2&max-keys=1"))
            if found.status == 200:
                return Place(name, prefix, is_made=False)
            if found.status != 404:
                raise refused(found, f"use bucket {name}")
        region = self._target.credentials.region
        body = b""
        if region != "us-east-1":
            body = (
                b"<CreateBucketConfiguration><LocationConstraint>%b</LocationConstraint></CreateBucketConfiguration>"
                % escape(region).encode()
            )
        made = await self.ask(Request(b"PUT", path, body=body, payload_hash=hash_of_text(body)))
        if made.status != 200:
            raise refused(made, f"make bucket {name}")
        return Place(name, prefix, is_made=True)

    async def remove_place(self, place: Place) -> None:
        """Delete every object and upload of the run, and the bucket if the run made it. Raises `BenchRefused`."""
        bucket = f"/{place.bucket}".encode()
        await self._end_uploads(bucket, place.prefix)
        await self.clear(place)
        if place.is_made:
            removed = await self.ask(Request(b"DELETE", bucket))
            if removed.status != 204:
                raise refused(removed, f"remove bucket {place.bucket}")

    async def clear(self, place: Place, group: str = "") -> None:
        """Delete the objects of a group, or all. Raises `BenchRefused`."""
        bucket = f"/{place.bucket}".encode()
        while keys := await self._keys(bucket, place.prefix + group):
            await self._delete(bucket, keys)

    async def _keys(self, bucket: bytes, prefix: str) -> list[str]:
        query = canonical_query(
            [(b"list-type", b"2"), (b"prefix", encode_component(prefix.encode()))]
        )
        page = await self.ask(Request(b"GET", bucket, query))
        if page.status != 200:
            raise refused(page, "list what the run has made")
        return elements(page.body, "Key")

    async def _delete(self, bucket: bytes, keys: list[str]) -> None:
        objects = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys[:_PAGE])
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
        md5 = hashlib.md5(body, usedforsecurity=False).digest()
        line = b"content-md5: %b\r\n" % base64.b64encode(md5)
        answer = await self.ask(
            Request(b"POST", bucket, b"delete=", body, hash_of_text(body), headers=line)
        )
        if answer.status != 200 or b"<Error>" in answer.body:
            raise refused(answer, "delete what the run has made")

    async def _end_uploads(self, bucket: bytes, prefix: str) -> None:
        query = canonical_query([(b"prefix", encode_component(prefix.encode())), (b"uploads", b"")])
        page = await self.ask(Request(b"GET", bucket, query))
        if page.status != 200:
            return  # a store without uploads has none to end
        keys, uploads = elements(page.body, "Key"), elements(page.body, "UploadId")
        for key, upload in zip(keys, uploads, strict=False):
            path = b"%b/%b" % (bucket, key.encode())
            await self.ask(
                Request(b"DELETE", path, b"uploadId=" + encode_component(upload.encode()))
            )

    def _unreachable(self, error: OSError) -> BenchRefused:
        if isinstance(error, ssl.SSLCertVerificationError):
            return BenchRefused(
                f"{self._target.url} shows a certificate that this machine does not trust: {error.verify_message}",
                next_step="give the certificate of its authority with --ca-file FILE",
            )
        if isinstance(error, ssl.SSLError):
            return BenchRefused(
                f"{self._target.url} does not speak TLS: {error.reason or error}",
                next_step="is it http://?",
            )
        return BenchRefused(
            f"{self._target.url} does not answer: {str(error) or type(error).__name__}",
            next_step="start the server, or correct --endpoint; without --endpoint the bench starts a server of its own",
        )


def refused(answer: Answer, doing: str) -> BenchRefused:
    """Return the refusal that an answer means, with a next step where one is known."""
    code = answer.element(b"Code") or f"status {answer.status}"
    message = answer.element(b"Message")
    hint = _HINTS.get(code, "")
    if answer.status in {400, 0} and not answer.body:
        hint = "is the endpoint an S3 server, and is it https?"
    return BenchRefused(
        f"cannot {doing}: {code}{f' ({message})' if message else ''}", next_step=hint
    )


def elements(body: bytes, name: str) -> list[str]:
    """Return the texts of all elements of a name."""
    text = body.decode("utf-8", "replace")
    return [
        unescape(piece.partition("<")[0], {"&quot;": '"', "&apos;": "'"})
        for piece in text.split(f"<{name}>")[1:]
    ]
