"""Requests and documents for the tests of the decoders."""

import pytest

from objstore.s3.decode import DECODERS
from objstore.s3.request import Query, RawRequest, S3Request
from objstore.s3.xml import decode as decode_xml


def make_request(method="GET", *, bucket="bucket", key=b"key", query=None, headers=None):
    """Build a request as the pipeline hands it over."""
    query = query or {}
    raw = RawRequest(method, b"/bucket/key", b"", (), "http")
    return S3Request(raw, method, bucket, key, Query(tuple(query.items()), query), headers or {})


@pytest.fixture(name="request_of")
def _request_of():
    return make_request


@pytest.fixture(name="decode")
def _decode():
    """Decode by operation name; `xml` is the text of the document."""

    def decode(operation, *, xml=None, **request):
        document = None if xml is None else decode_xml(xml.encode(), bytes_max=4 << 20)
        return DECODERS[operation](make_request(**request), document)

    return decode
