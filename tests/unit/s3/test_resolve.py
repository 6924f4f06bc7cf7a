"""Every operation is found, and no sub-resource ever reaches a row that would ignore it."""

from __future__ import annotations

import itertools

import pytest

from objstore.model.errors import (
    BadRequestError,
    InvalidArgument,
    MethodNotAllowed,
    NotImplementedByStore,
    ObjstoreError,
    PreconditionFailed,
)
from objstore.s3.operation import Operation, Scope
from objstore.s3.operations import OPERATIONS, OPERATIONS_BY_NAME, SUBRESOURCES
from objstore.s3.request import RawRequest, S3Request
from objstore.s3.resolve import FOREIGN_SUBRESOURCES, allowed_methods, resolve
from objstore.s3.target import parse_target

PATHS = {Scope.SERVICE: "/", Scope.BUCKET: "/bucket", Scope.OBJECT: "/bucket/key"}
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
ROUTED = [row for row in OPERATIONS if row.name != "WriteGetObjectResponse"]


def request(line: str, **headers: str) -> S3Request:
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return parse_target(RawRequest(method, path.encode(), query.encode(), pairs, "http"))


def query_of(operation: Operation) -> list[str]:
    values = [f"{name}={value}" for name, value in operation.values]
    return [*operation.flags, *values, *(f"{name}=x1" for name in operation.query)]


def request_for(operation: Operation, *extra: str) -> S3Request:
    query = "&".join((*query_of(operation), *extra))
    headers = dict.fromkeys(operation.headers, "x")
    if operation.content_type:
        headers["content-type"] = f"{operation.content_type}; boundary=b"
    line = f"{operation.method} {PATHS[operation.scope]}?{query}"
    return request(line, **{name.replace("-", "_"): value for name, value in headers.items()})


def expected_for(operation: Operation) -> str:
    return operation.superseded_by or operation.name


@pytest.mark.parametrize("operation", ROUTED, ids=lambda row: row.name)
def test_every_operation_is_found_by_its_own_request(operation: Operation) -> None:
    """The table resolves each row to itself, deprecated ones to their successor (s3 rule 1.5)."""
    assert resolve(request_for(operation)).name == expected_for(operation)


@pytest.mark.parametrize("operation", ROUTED, ids=lambda row: row.name)
def test_labels_and_signature_parameters_do_not_change_the_operation(operation: Operation) -> None:
    """SDKs add x-id, presigned URLs X-Amz-*, browsers cache busters (s3 rule 1.4.2)."""
    extra = ("x-id=Other", "X-Amz-Signature=abc", "X-Amz-Security-Token=", "cache-buster=1")
    assert resolve(request_for(operation, *extra)).name == expected_for(operation)


@pytest.mark.parametrize("operation", ROUTED, ids=lambda row: row.name)
def test_the_operations_own_parameters_do_not_change_it(operation: Operation) -> None:
    """What a row understands can be there without leading elsewhere."""
    extra = [f"{name}=1" for name in operation.parameters]
    assert resolve(request_for(operation, *extra)).name == expected_for(operation)


@pytest.mark.parametrize("value", ["", "=", "=x", "=true"])
@pytest.mark.parametrize(("method", "scope"), list(itertools.product((*METHODS, "PATCH"), Scope)))
def test_no_subresource_reaches_a_catch_all(method: str, scope: Scope, value: str) -> None:
    """`PUT /B/K?acl` must not overwrite, `DELETE /B?lifecycle` not delete (s3 rule 1.4.5)."""
    for name in sorted(SUBRESOURCES):
        for extra in ("", "&x-id=a", "&versionId=null", "&id=1", "&annotationName=a"):
            try:
                found = resolve(request(f"{method} {PATHS[scope]}?{name}{value}{extra}"))
            except ObjstoreError:
                continue
            assert found.flags == (name,), (method, scope, name, found.name)
            assert (found.method, found.scope) == (method, scope)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize("scope", list(Scope))
def test_no_write_with_a_foreign_subresource_is_run(method: str, scope: Scope) -> None:
    """Names that other stores know ask for something else than the plain write."""
    for name in sorted(FOREIGN_SUBRESOURCES):
        for value in ("", "=", "=1"):
            with pytest.raises(ObjstoreError):
                resolve(request(f"{method} {PATHS[scope]}?{name}{value}"))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("scope", [Scope.BUCKET, Scope.OBJECT])
def test_two_subresources_are_refused_in_either_order(method: str, scope: Scope) -> None:
    """A tie must be an error and not be decided by order."""
    for one, other in itertools.permutations(sorted(SUBRESOURCES), 2):
        with pytest.raises(InvalidArgument, match="Conflicting"):
            resolve(request(f"{method} {PATHS[scope]}?{one}&{other}"))


@pytest.mark.parametrize("operation", ROUTED, ids=lambda row: row.name)
def test_a_subresource_beside_any_operation_is_never_ignored(operation: Operation) -> None:
    """Whatever else selects the row, a sub-resource that the row does not have must not be dropped."""
    if operation.name == "PreflightRequest":
        return  # the query of a preflight belongs to the request that will follow
    for name in sorted(SUBRESOURCES - set(operation.flags)):
        try:
            found = resolve(request_for(operation, name))
        except ObjstoreError:
            continue
        assert name in found.flags, (operation.name, name, found.name)


@pytest.mark.parametrize(
    "line", ["PUT /b/k?foo", "DELETE /b?foo=", "DELETE /b/k?foo", "PUT /b?bar"]
)
def test_a_write_with_an_unknown_bare_name_is_not_run(line: str) -> None:
    """It may be a sub-resource of tomorrow; running the plain write would lose data (s3 rule 1.4.5)."""
    with pytest.raises(NotImplementedByStore):
        resolve(request(line))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GET /b?foo", "ListObjects"),
        ("GET /b/k?foo=", "GetObject"),
        ("HEAD /b/k?1700000000", "HeadObject"),
        ("PUT /b/k?foo=bar", "PutObject"),
        ("PUT /b/k?x-id=PutObject", "PutObject"),
        ("PUT /b/k?X-Amz-Content-Sha256=&x-amz-acl=", "PutObject"),
        ("DELETE /b/k?versionId=", "DeleteObject"),
        ("DELETE /b/k?versionId=abc", "DeleteObject"),
        ("GET /b/k?response-content-type=", "GetObject"),
        ("GET /b?ACL", "ListObjects"),
        ("GET /?acl2", "ListBuckets"),
        ("GET /b?list-type=2&prefix=a", "ListObjectsV2"),
        ("GET /b?versions&prefix=a", "ListObjectVersions"),
        ("GET /b/k?partNumber=2&versionId=null", "GetObject"),
        ("HEAD /b/k?partNumber=2", "HeadObject"),
        ("OPTIONS /b/k?acl&policy", "PreflightRequest"),
        ("OPTIONS /b", "PreflightRequest"),
        ("GET /b/", "ListObjects"),
    ],
)
def test_what_has_no_meaning_is_ignored(line: str, name: str) -> None:
    """Reads are harmless, names are case-sensitive, unknown pairs are noise (s3 rules 1.4.1, 1.4.2)."""
    assert resolve(request(line)).name == name


def test_copying_is_told_by_a_header() -> None:
    """One URL, four operations (s3 rule 1.4.3)."""
    source = {"x_amz_copy_source": "a/b"}
    part = "PUT /b/k?partNumber=1&uploadId=u"
    assert resolve(request("PUT /b/k", **source)).name == "CopyObject"
    assert resolve(request(part, **source)).name == "UploadPartCopy"
    assert resolve(request(part)).name == "UploadPart"
    assert resolve(request("PUT /b/k?renameObject", x_amz_rename_source="b/a")).name == (
        "RenameObject"
    )


@pytest.mark.parametrize("name", ["x-amz-copy-source", "X-Amz-Copy-Source"])
def test_a_presigned_copy_is_a_copy(name: str) -> None:
    """Some signers move headers into the query; a plain PUT would empty the target (s3 rule 2.3.8)."""
    assert resolve(request(f"PUT /b/k?{name}=a%2Fb&X-Amz-Signature=s")).name == "CopyObject"
    part = f"PUT /b/k?partNumber=1&uploadId=u&{name}=a%2Fb"
    assert resolve(request(part)).name == "UploadPartCopy"
    with pytest.raises(InvalidArgument):
        resolve(request(f"PUT /b/k?tagging&{name}=a%2Fb"))


@pytest.mark.parametrize(
    "line",
    ["GET /b/k", "HEAD /b/k", "DELETE /b/k", "PUT /b", "PUT /b/k?tagging", "POST /b/k?uploads"],
)
@pytest.mark.parametrize("header", ["x_amz_copy_source", "x_amz_rename_source"])
def test_a_source_where_nothing_is_copied_is_refused(line: str, header: str) -> None:
    """The client meant something else than what would happen (s3 rule 1.4.4)."""
    with pytest.raises(InvalidArgument) as caught:
        resolve(request(line, **{header: "a/b"}))
    assert caught.value.detail["argument_name"] == header.replace("_", "-")


def test_a_rename_without_its_flag_does_not_empty_the_object() -> None:
    """A plain PUT with a rename source would store an empty body over the target."""
    with pytest.raises(InvalidArgument):
        resolve(request("PUT /b/k", x_amz_rename_source="b/a"))


@pytest.mark.parametrize(
    ("line", "error", "text"),
    [
        ("GET /b/k?uploads", BadRequestError, "Key is not expected for the GET method ?uploads"),
        ("GET /b/k?versions", BadRequestError, "There is no such thing as the ?versions"),
        ("PUT /b/k?policy", BadRequestError, "Key is not expected for the PUT method ?policy"),
        ("GET /b?torrent", BadRequestError, "A key must be specified"),
        ("PUT /b/k?partNumber=1", InvalidArgument, "does not accept partNumber without uploadId"),
        ("PUT /b/k?uploadId=u", InvalidArgument, "does not accept uploadId without partNumber"),
        ("PUT /b/k?annotationName=a", InvalidArgument, "annotationName without annotation"),
        ("PUT /b?partNumber=1", InvalidArgument, "does not accept partNumber"),
        ("GET /b?list-type=3", InvalidArgument, "Invalid value for list-type"),
        ("GET /b?versions&list-type=2", InvalidArgument, "Conflicting"),
        ("PUT /b/k?acl&uploadId=u", InvalidArgument, "Conflicting"),
        ("PUT /b?analytics", InvalidArgument, "parameter: id"),
        ("DELETE /b?inventory", InvalidArgument, "parameter: id"),
        ("PUT /b/k?annotation", InvalidArgument, "parameter: annotationName"),
        ("POST /b/k?select", InvalidArgument, "parameter: select-type"),
        ("POST /b/k?select&select-type=1", InvalidArgument, "parameter: select-type"),
        ("PUT /b/k?renameObject", BadRequestError, "x-amz-rename-source"),
        ("GET /b?acl&acl", InvalidArgument, "must not be repeated"),
        ("DELETE /b/k?versionId=1&versionId=2", InvalidArgument, "must not be repeated"),
        ("PUT /b/k?partNumber=1&uploadId=u&partNumber=2", InvalidArgument, "repeated"),
    ],
)
def test_wrong_combinations_have_their_own_words(
    line: str, error: type[ObjstoreError], text: str
) -> None:
    """S3's texts where they are known (s3 rule 1.4.4)."""
    with pytest.raises(error) as caught:
        resolve(request(line))
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("line", "resource_type", "allow"),
    [
        ("PUT /", "SERVICE", "GET"),
        ("DELETE /", "SERVICE", "GET"),
        ("POST /", "SERVICE", "GET"),
        ("GET /?policy", "SERVICE", ""),
        ("PATCH /b", "BUCKET", "GET, HEAD, PUT, POST, DELETE"),
        ("PATCH /b/k", "OBJECT", "GET, HEAD, PUT, DELETE"),
        ("POST /b/k", "OBJECT", "GET, HEAD, PUT, DELETE"),
        ("HEAD /b?acl", "BUCKET", "GET, PUT"),
        ("DELETE /b/k?acl", "OBJECT", "GET, PUT"),
        ("POST /b?policy", "BUCKETPOLICY", "GET, PUT, DELETE"),
        ("DELETE /b/k?uploads", "UPLOAD", "POST"),
        ("HEAD /b/k?uploadId=u", "UPLOAD", "GET, PUT, POST, DELETE"),
        ("DELETE /b/k?partNumber=1", "OBJECT", "GET, HEAD, PUT"),
        ("TRACE /b/k", "OBJECT", "GET, HEAD, PUT, DELETE"),
        ("get /b/k", "OBJECT", "GET, HEAD, PUT, DELETE"),
    ],
)
def test_a_method_that_does_not_fit_is_told_what_does(
    line: str, resource_type: str, allow: str
) -> None:
    """405 names method and kind of resource, and what is allowed (s3 rule 1.4.5)."""
    with pytest.raises(MethodNotAllowed) as caught:
        resolve(request(line))
    detail = caught.value.detail
    assert detail["method"] == line.partition(" ")[0]
    assert (detail["resource_type"], detail["header_allow"]) == (resource_type, allow)


def test_allowed_methods_follow_the_table() -> None:
    """Allow is derived, so that it grows with the table."""
    assert allowed_methods(request("PATCH /b?versioning")) == ("GET", "PUT")
    assert allowed_methods(request("PATCH /")) == ("GET",)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_bucket_post_without_form_data_fails_its_precondition(content_type: str) -> None:
    """S3 words it as a precondition (s3 rule 1.4.4)."""
    with pytest.raises(PreconditionFailed) as caught:
        resolve(request("POST /b", content_type=content_type))
    assert caught.value.detail["condition"] == (
        "Bucket POST must be of the enclosure-type multipart/form-data"
    )


def test_a_form_upload_is_told_by_its_content_type() -> None:
    """Browsers post to the bucket (s3 rule 2.6.1); with `delete` the body is a document."""
    form = {"content_type": "Multipart/Form-Data; boundary=x"}
    assert resolve(request("POST /b", **form)).name == "PostObject"
    assert resolve(request("POST /b?delete", **form)).name == "DeleteObjects"


def test_lambda_responses_have_a_path_that_is_no_bucket() -> None:
    """`WriteGetObjectResponse` looks like a bucket in the path (s3 rule 1.5)."""
    headers = {"x_amz_request_route": "r", "x_amz_request_token": "t"}
    found = resolve(request("POST /WriteGetObjectResponse", **headers))
    assert found is OPERATIONS_BY_NAME["WriteGetObjectResponse"]
    with pytest.raises(MethodNotAllowed):
        resolve(request("POST /WriteGetObjectResponse"))
