"""How long it takes to verify the signature of one small request; prints one JSON line each.

Run: python benchmarks/signature_bench.py
"""

import json
import timeit
from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from objstore.model.checksum import ChecksumAlgorithm
from objstore.model.digests import DigestSet, combine_full
from objstore.model.instant import Instant
from objstore.s3.signature import Authenticator, SignedParts, SigningKeyCache

ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
BODY = bytes(4096)

BOTO3_HEADERS = {
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "Content-Type": "application/octet-stream",
    "User-Agent": "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python",
    "Expect": "100-continue",
    "x-amz-checksum-crc32": "xxFN8w==",
    "amz-sdk-invocation-id": "f1f7a8a5-3a3e-4ac9-9bd1-6a3a1f6a2b77",
    "amz-sdk-request": "attempt=1",
    "Content-Length": "4096",
}


class Users:
    def secret_of(self, access_key):
        return SECRET if access_key == ACCESS_KEY else None


def parts_of(request, path, query=b""):
    pairs = [(b"host", b"127.0.0.1:9000")]
    pairs += [(name.lower().encode(), value.encode()) for name, value in request.headers.items()]
    return SignedParts(request.method, path, query, pairs)


def header_request(method, target, headers):
    path, _, query = target.partition("?")
    request = AWSRequest(method, f"http://127.0.0.1:9000{target}", headers, BODY)
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", "us-east-1").add_auth(request)
    return parts_of(request, path.encode(), query.encode())


def presigned_request():
    request = AWSRequest("GET", "http://127.0.0.1:9000/bucket/key")
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET), "s3", "us-east-1", 3600).add_auth(request)
    return parts_of(request, b"/bucket/key", request.url.partition("?")[2].encode())


def measure(name, call, number=20_000):
    best_s = min(timeit.repeat(call, number=number, repeat=5)) / number
    print(json.dumps({"what": name, "microseconds": round(best_s * 1e6, 2)}))


def digest_body():
    digests = DigestSet(algorithms=[ChecksumAlgorithm.CRC32], sha256_payload=True)
    digests.update(BODY)
    digests.md5_digest()
    digests.sha256_payload_digest()
    digests.digest(ChecksumAlgorithm.CRC32)


def main():
    now = Instant(int(datetime.now(UTC).timestamp()) * 1000)  # noqa: TID251 - botocore's clock
    requests = {
        "boto3 PUT 4 KiB": header_request("PUT", "/bucket/some/plain/key.bin", BOTO3_HEADERS),
        "boto3 PUT, odd key": header_request("PUT", "/bucket/%C3%A9%20odd%2Bkey", BOTO3_HEADERS),
        "go GET with x-id": header_request("GET", "/bucket/key?x-id=GetObject", {}),
        "boto3 LIST": header_request(
            "GET", "/bucket?list-type=2&prefix=a%2Fb%2F&delimiter=%2F&encoding-type=url", {}
        ),
        "presigned GET": presigned_request(),
    }
    authenticator = Authenticator(Users(), SigningKeyCache())
    for name, parts in requests.items():
        measure(name, lambda parts=parts: authenticator.authenticate(parts, now=now))
    measure("MD5 + SHA-256 + CRC32 of 4 KiB", digest_body)
    parts = [(bytes(4), 5 << 20)] * 10_000
    measure("combine 10,000 CRC32 parts", lambda: combine_full(ChecksumAlgorithm.CRC32, parts), 5)


if __name__ == "__main__":
    main()
