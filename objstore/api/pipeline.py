"""One request, from the ASGI scope to the answer: always the same steps in the same order.

    request id -> parse target -> resolve operation -> authenticate -> find bucket and authorise -> read and decode -> service
    -> encode -> send

Resolving comes before authentication because the row says how the body is read, and so that refused requests are counted
under their operation. Authorisation is a step with a mandatory column of the operations table, not something a handler could
forget. Nothing of the body is read before every check that can be made without it has passed (s3 rule 1.6.1).

Errors become answers here and nowhere else. After the head of an answer is out, only cutting the connection is left.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Executor
from typing import Any, Protocol

import msgspec

from objstore.api.body import Receive, RequestBody
from objstore.api.respond import Send, StreamAborted, send_reply, send_stream
from objstore.model.errors import (
    AccessDenied,
    Draining,
    InvalidToken,
    InvariantError,
    MalformedXml,
    MaxMessageLengthExceeded,
    MissingRequestBody,
    NoSuchBucket,
    NotImplementedByStore,
    ObjstoreError,
    UnexpectedContent,
)
from objstore.model.instant import Clock
from objstore.model.limits import PART_BYTES_MAX
from objstore.model.objects import BucketRecord, Identity
from objstore.s3 import xml
from objstore.s3.access import authorise, check_expected_owner
from objstore.s3.bodies.aws_chunked import AwsChunkedDecoder
from objstore.s3.checksums import expected_checksums, require_digest
from objstore.s3.errors import error_reply
from objstore.s3.operation import Access, BodyKind, Operation, Scope
from objstore.s3.reply import HeaderPairs, Reply
from objstore.s3.request import RawRequest, S3Request
from objstore.s3.resolve import resolve
from objstore.s3.signature import (
    Anonymous,
    Authenticated,
    Authenticator,
    Payload,
    PayloadMode,
    SignedParts,
    hoisted_headers,
    is_presigned,
)
from objstore.s3.target import parse_target
from objstore.service.identities import ANONYMOUS, Identities
from objstore.service.objects import ObjectStream
from objstore.service.ports import Call
from objstore.service.registry import BucketRegistry

__all__ = ["Handler", "Observer", "Pipeline"]

Handler = Callable[[Call, Any], Awaitable[Any]]

_WITHOUT_BUCKET_LOOKUP = frozenset({"CreateBucket", "PreflightRequest"})
_TAKES_NO_DOCUMENT = frozenset({"CreateBucket", "PutBucketAcl", "PutObjectAcl"})
"""Operations whose document may be left out."""
_DOCUMENT_ON_LOOP_BYTES_MAX = 64 * 1024
"""A longer document is read in a thread: the longest takes a quarter of a second, in which nobody else would be answered."""


class Observer(Protocol):
    """Who counts and logs requests."""

    def request_done(
        self,
        operation: str,
        status: int,
        *,
        seconds: float,
        bytes_in: int,
        bytes_out: int,
        request_id: str,
    ) -> None:
        """Take note of an answered request."""
        ...

    def request_failed(self, operation: str, request_id: str, error: BaseException) -> None:
        """Take note of a fault of ours, with its traceback."""
        ...


class Pipeline:
    """The S3 application, as plain ASGI."""

    def __init__(  # noqa: PLR0913 - the parts of the edge, named by the composition root
        self,
        *,
        handlers: dict[str, Handler],
        registry: BucketRegistry,
        identities: Identities,
        authenticator: Authenticator,
        clock: Clock,
        observer: Observer,
        hash_pool: Executor,
        domains: Sequence[str],
        host_id: bytes,
        public_url: str = "",
    ) -> None:
        self._handlers = handlers
        self._registry = registry
        self._identities = identities
        self._authenticator = authenticator
        self._clock = clock
        self._observer = observer
        self._hash_pool = hash_pool
        self._domains = tuple(domains)
        self._public_url = public_url.rstrip("/")
        self._host_id = base64.b64encode(host_id)
        self._request_prefix = host_id[:4].hex().upper()
        self._requests_count = 0
        self.is_draining = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = _Exchange(self, scope, receive, send)
        started = self._clock.monotonic_s()
        try:
            await exchange.run()
        finally:  # answers that were cut count, too
            self._observer.request_done(
                exchange.operation_name,
                exchange.status,
                seconds=self._clock.monotonic_s() - started,
                bytes_in=exchange.bytes_in,
                bytes_out=exchange.bytes_out,
                request_id=exchange.request_id,
            )

    def drain(self) -> None:
        """Refuse new requests from now on; the ones in flight finish."""
        self.is_draining = True

    def next_request_id(self) -> str:
        """Return 16 upper-case hex digits, unique in this process and practically everywhere."""
        self._requests_count += 1
        return f"{self._request_prefix}{self._requests_count:08X}"

    def envelope(self, request_id: str) -> HeaderPairs:
        """Return what every answer carries (s3 rule 1.7.1), but `Date` and `Server`: those are the server's to add."""
        return [
            (b"x-amz-request-id", request_id.encode("ascii")),
            (b"x-amz-id-2", self._host_id),
        ]


class _Exchange:
    """The state of one request on its way."""

    def __init__(
        self, app: Pipeline, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request: S3Request | None = None
        self._body: RequestBody | None = None
        self._is_head = scope["method"] == "HEAD"
        self.request_id = app.next_request_id()
        self.operation_name = "Unknown"
        self.status = 500
        self.bytes_out = 0

    @property
    def bytes_in(self) -> int:
        """Body bytes received."""
        return 0 if self._body is None else self._body.wire_bytes

    async def run(self) -> None:
        """Answer the request; raises only `StreamAborted`."""
        try:
            await self._answer()
        except ObjstoreError as error:
            if isinstance(error, InvariantError):
                self._app._observer.request_failed(self.operation_name, self.request_id, error)
            await self._refuse(error)
        except StreamAborted as error:
            self._app._observer.request_failed(self.operation_name, self.request_id, error)
            raise
        except Exception as error:  # noqa: BLE001 - the one place that turns a bug into InternalError
            self._app._observer.request_failed(self.operation_name, self.request_id, error)
            await self._refuse(InvariantError("internal error"))

    async def _answer(self) -> None:
        app = self._app
        scope = self._scope
        raw = RawRequest(
            method=scope["method"],
            raw_path=scope["raw_path"],
            raw_query=scope["query_string"],
            headers=scope["headers"],
            scheme=scope["scheme"],
        )
        request = parse_target(raw, app._domains)
        if raw.raw_query:
            # Before resolving: a presigned `x-amz-copy-source` makes a PUT a copy (s3 rule 2.3.8).
            request = _with_hoisted(request, raw.raw_query)
        self._request = request
        operation = resolve(request)
        self.operation_name = operation.name
        now = app._clock.now()
        proof: Authenticated | Anonymous = Anonymous(Payload(PayloadMode.UNSIGNED))
        if operation.access is not Access.PUBLIC:
            # A preflight carries the query of the request that it asks about, signature and all.
            proof = app._authenticator.authenticate(_signed_parts(request, raw), now=now)
        identity = self._identity(operation, proof)
        if app.is_draining:
            raise Draining
        bucket = await self._bucket(request, operation, identity)
        handler = app._handlers.get(operation.handler or "")
        if handler is None or operation.decode is None or operation.encode is None:
            raise _not_built(operation)
        content = await self._content(request, operation, proof)
        if len(content) <= _DOCUMENT_ON_LOOP_BYTES_MAX:
            typed = _decoded(operation, request, content)
        else:
            typed = await asyncio.get_running_loop().run_in_executor(
                app._hash_pool, _decoded, operation, request, content
            )
        call = Call(
            identity=identity,
            now=now,
            request_id=self.request_id,
            bucket=bucket,  # type: ignore[arg-type]  # None only for operations that take no bucket
            body=self._body,  # type: ignore[arg-type]  # None only for operations without a stream
            endpoint=app._public_url or f"{request.raw.scheme}://{request.host}",
        )
        output = await handler(call, typed)
        await self._deliver(request, operation, output)

    def _identity(self, operation: Operation, proof: Authenticated | Anonymous) -> Identity:
        if isinstance(proof, Authenticated):
            if proof.session_token is not None:
                # Keys here are permanent; a token can only belong to another store (s3 rule 2.2.16).
                raise InvalidToken("The provided token is malformed or otherwise invalid.")
            return self._app._identities.identity_of(proof.access_key)
        if operation.is_signed_in_form and operation.handler is None:
            raise _not_built(operation)
        if operation.access is not Access.PUBLIC:
            raise AccessDenied("Access Denied")
        return ANONYMOUS

    async def _bucket(
        self, request: S3Request, operation: Operation, identity: Identity
    ) -> BucketRecord | None:
        if operation.scope is Scope.SERVICE or operation.name in _WITHOUT_BUCKET_LOOKUP:
            authorise(identity, operation, None)
            return None
        name = request.bucket or ""
        bucket = await self._app._registry.find(name)
        if bucket is None:
            raise NoSuchBucket(bucket_name=name)
        check_expected_owner(request.headers.get("x-amz-expected-bucket-owner"), bucket)
        authorise(identity, operation, bucket)
        return bucket

    async def _content(
        self, request: S3Request, operation: Operation, proof: Authenticated | Anonymous
    ) -> bytes:
        """Open the body as the row says; return the bytes of the document where the operation takes one."""
        if operation.body is BodyKind.NONE:
            await self._expect_no_body(request)
            return b""
        if operation.body is BodyKind.STREAM:
            self._body = self._open_body(request, proof, is_length_required=True)
            return b""
        if operation.needs_checksum and operation.name == "DeleteObjects":
            require_digest(request.headers)
        limit = operation.body_bytes_max
        body = self._open_body(request, proof, is_length_required=False)
        self._body = body
        if body.size is not None and body.size > limit:
            raise MaxMessageLengthExceeded(max_message_length_bytes=limit)
        content = bytes(await body.read(limit + 1))
        if len(content) > limit:
            raise MaxMessageLengthExceeded(max_message_length_bytes=limit)
        await body.finish()
        if not content:
            _judge_empty(operation)
        return content

    def _open_body(
        self, request: S3Request, proof: Authenticated | Anonymous, *, is_length_required: bool
    ) -> RequestBody:
        payload = proof.payload
        expectations = expected_checksums(
            request, size_bytes_max=PART_BYTES_MAX, is_length_required=is_length_required
        )
        decoder = None
        if payload.mode.is_chunked:
            decoder = AwsChunkedDecoder.for_request(
                proof, trailer_algorithm=expectations.trailer_algorithm
            )
        return RequestBody(
            self._receive,
            expectations,
            pool=self._app._hash_pool,
            payload_sha256=(payload.sha256 if payload.mode is PayloadMode.SIGNED_HEX else None),
            decoder=decoder,
            size_bytes_max=PART_BYTES_MAX,
        )

    async def _expect_no_body(self, request: S3Request) -> None:
        """Refuse a body where a write takes none (s3 rule 1.6.7); GET, HEAD and DELETE ignore theirs."""
        if request.method not in ("PUT", "POST"):
            return
        length = request.headers.get("content-length", "0")
        if length.strip("0"):
            raise UnexpectedContent("This request does not support content")
        if "transfer-encoding" in request.headers:
            message = await self._receive()
            if message.get("body"):
                raise UnexpectedContent("This request does not support content")

    async def _deliver(self, request: S3Request, operation: Operation, output: Any) -> None:
        encode = operation.encode
        if encode is None:
            raise InvariantError("an operation with a handler has no encoder")
        envelope = self._app.envelope(self.request_id)
        if not isinstance(output, ObjectStream):
            reply: Reply = encode(output, request)
            self.status = reply.status
            self.bytes_out = await send_reply(self._send, reply, envelope, is_head=self._is_head)
            return
        reply = encode(output.head, request)
        self.status = reply.status
        if output.chunks is None:
            self.bytes_out = await send_reply(
                self._send, reply, envelope, output.inline, is_head=self._is_head
            )
            return
        self.bytes_out = await send_stream(self._send, reply, envelope, output.chunks)

    async def _refuse(self, error: ObjstoreError) -> None:
        reply = error_reply(
            error,
            resource=self._scope["raw_path"].decode("latin-1"),
            request_id=self.request_id,
            host_id=self._app._host_id.decode("ascii"),
            is_head=self._is_head,
        )
        self.status = reply.status
        envelope = self._app.envelope(self.request_id)
        self.bytes_out = await send_reply(self._send, reply, envelope, is_head=self._is_head)


def _not_built(operation: Operation) -> NotImplementedByStore:
    return NotImplementedByStore(
        f"The operation {operation.name} is not implemented by this server.",
        operation=operation.name,
    )


def _decoded(operation: Operation, request: S3Request, content: bytes) -> Any:
    """Read the document, if there is one, and the request."""
    document = xml.decode(content, bytes_max=operation.body_bytes_max) if content else None
    return operation.decode(request, document)  # type: ignore[misc]  # judged by the caller


def _judge_empty(operation: Operation) -> None:
    """Judge a body that is empty where a document belongs; S3 differs from call to call (s3 rules 1.6.4, 4.11.4)."""
    if operation.name in _TAKES_NO_DOCUMENT:
        return
    if operation.name == "CompleteMultipartUpload":
        raise MalformedXml
    raise MissingRequestBody("Request body is empty.")


def _with_hoisted(request: S3Request, raw_query: bytes) -> S3Request:
    """Let signed `x-amz-*` query parameters stand for headers; a real header wins (s3 rule 2.3.8)."""
    if not is_presigned(request.query.first):
        return request
    headers: dict[str, str] = {}
    for raw_name, raw_value in hoisted_headers(raw_query):
        name, value = raw_name.decode("ascii"), raw_value.decode("utf-8", "replace")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    headers.update(request.headers)
    return msgspec.structs.replace(request, headers=headers)


def _signed_parts(request: S3Request, raw: RawRequest) -> SignedParts:
    bucket = (request.bucket or "").encode() if request.is_virtual_host else b""
    return SignedParts(raw.method, raw.raw_path, raw.raw_query, raw.headers, bucket)
