"""Replies read back by botocore's own parser: what it understands, every boto client does."""

import botocore.parsers
import botocore.session
import pytest
from botocore.awsrequest import HeadersDict

from objstore.s3.encode import ENCODERS
from objstore.s3.request import Query, RawRequest, S3Request


def make_request(operation):
    raw = RawRequest("GET", b"/bucket/key", b"", (), "http")
    return S3Request(raw, "GET", "bucket", b"key", Query((), {}), {})


@pytest.fixture(scope="session", name="service_model")
def _service_model():
    return botocore.session.get_session().get_service_model("s3")


@pytest.fixture(name="encode")
def _encode():
    """Encode an output by operation name."""
    return lambda operation, output: ENCODERS[operation](output, make_request(operation))


@pytest.fixture(name="seen_by_client")
def _seen_by_client(service_model, encode):
    """Encode an output and return what a boto client gets from the reply."""
    parser = botocore.parsers.create_parser("rest-xml")

    def see(operation, output):
        reply = encode(operation, output)
        headers = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
        response = {"status_code": reply.status, "headers": headers, "body": reply.body}
        shape = service_model.operation_model(operation).output_shape
        parsed = parser.parse(response, shape)
        parsed.pop("ResponseMetadata")
        return parsed

    return see
