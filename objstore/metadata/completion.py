"""What CompleteMultipartUpload checks and computes from rows of parts, without touching data. Pure.

Checks, in this order: the list ascends and names parts that are there with their ETags (s3 rule 4.11.4), sizes,
checksums of parts (3.5.5), checksum type (3.5.6), the checksum of the whole (3.5.7), the size of the whole (3.5.8).
The work is one pass over the list; combining 10,000 CRCs takes a few milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from objstore.metadata.commands import CompletePart, CompleteUpload
from objstore.metadata.records import PartHead
from objstore.model.checksum import Checksum, ChecksumAlgorithm, ChecksumType
from objstore.model.digests import combine_full, composite_digest, encode_digest
from objstore.model.errors import (
    BadDigest,
    BadRequestError,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
)
from objstore.model.limits import PART_BYTES_MIN
from objstore.model.objects import PartRun, PartsBody, Upload

__all__ = ["Completion", "judge_completion"]


@dataclass(frozen=True, slots=True)
class Completion:
    """The object that the listed parts make, and the numbers of the parts that were not listed."""

    size: int
    etag: str
    checksum: Checksum | None
    body: PartsBody
    unlisted: tuple[int, ...]


def judge_completion(
    upload: Upload, heads: Sequence[PartHead], command: CompleteUpload
) -> Completion:
    """Return what the listed parts make; raise the first rule that they break."""
    listed = _listed(command, {head.number: head for head in heads})
    _judge_sizes(listed)
    _judge_part_checksums(upload, listed, command.parts)
    checksum = _checksum(upload, listed)
    _judge_whole(upload, checksum, command)
    size = sum(head.size for head in listed)
    if command.object_size is not None and command.object_size != size:
        raise BadRequestError(
            f"The provided 'x-amz-mp-object-size' header value {command.object_size} "
            f"does not match what was computed: {size}"
        )
    return Completion(
        size=size,
        etag=_etag(listed),
        checksum=checksum,
        body=PartsBody(upload.upload_id, _runs(listed)),
        unlisted=_unlisted(heads, listed),
    )


def _listed(command: CompleteUpload, heads: dict[int, PartHead]) -> list[PartHead]:
    parts = command.parts
    if not parts:
        raise BadRequestError("You must specify at least one part")
    if any(left.number >= right.number for left, right in pairwise(parts)):
        raise InvalidPartOrder(upload_id=command.upload_id)
    listed = []
    for part in parts:
        head = heads.get(part.number)
        if head is None or head.etag != part.etag:
            raise InvalidPart(upload_id=command.upload_id, part_number=part.number, etag=part.etag)
        listed.append(head)
    return listed


def _judge_sizes(listed: Sequence[PartHead]) -> None:
    for head in listed[:-1]:
        if head.size < PART_BYTES_MIN:
            raise EntityTooSmall(
                proposed_size=head.size,
                min_size_allowed=PART_BYTES_MIN,
                part_number=head.number,
                etag=head.etag,
            )


def _judge_part_checksums(
    upload: Upload, listed: Sequence[PartHead], parts: Sequence[CompletePart]
) -> None:
    algorithm = upload.checksum_algorithm
    is_required = upload.checksum_type is ChecksumType.COMPOSITE
    if algorithm is None:
        algorithm = ChecksumAlgorithm.CRC64NVME
        known = [head.crc64nvme for head in listed]
    else:
        known = [head.checksum or b"" for head in listed]
    for part, value in zip(parts, known, strict=True):
        if part.checksums:
            _judge_part(upload, algorithm, part, value)
        elif is_required:
            raise BadRequestError(
                f"The upload was created using a {algorithm.value} checksum. The complete request "
                f"must include the checksum for each part. It was missing for part {part.number} "
                "in the request."
            )


def _judge_part(
    upload: Upload, algorithm: ChecksumAlgorithm, part: CompletePart, value: bytes
) -> None:
    for given, digest in part.checksums:
        # Without an algorithm S3 takes no checksum at all; one that can be verified does no harm.
        is_wrong = digest != value if given is algorithm else upload.checksum_algorithm is None
        if is_wrong:
            raise InvalidPart(upload_id=upload.upload_id, part_number=part.number, etag=part.etag)
        if given is not algorithm:
            raise BadDigest(
                f"The {given.value} you specified for part {part.number} did not match what we "
                "received."
            )


def _checksum(upload: Upload, listed: Sequence[PartHead]) -> Checksum | None:
    """Return the checksum of the object; uploads without an algorithm get CRC64NVME (s3 rule 3.5.9)."""
    algorithm = upload.checksum_algorithm
    if algorithm is None:
        if not all(head.crc64nvme for head in listed):
            return None
        whole = combine_full(
            ChecksumAlgorithm.CRC64NVME, ((head.crc64nvme, head.size) for head in listed)
        )
        return Checksum(ChecksumAlgorithm.CRC64NVME, ChecksumType.FULL_OBJECT, whole)
    if upload.checksum_type is ChecksumType.COMPOSITE:
        digest = composite_digest(algorithm, [head.checksum or b"" for head in listed])
        return Checksum(algorithm, ChecksumType.COMPOSITE, digest, len(listed))
    whole = combine_full(algorithm, ((head.checksum or b"", head.size) for head in listed))
    return Checksum(algorithm, ChecksumType.FULL_OBJECT, whole)


def _judge_whole(upload: Upload, checksum: Checksum | None, command: CompleteUpload) -> None:
    created = upload.checksum_type.value if upload.checksum_type else "null"
    if command.checksum_type is not None and command.checksum_type is not upload.checksum_type:
        raise BadRequestError(
            f"The upload was created using the {created} checksum mode. The complete request must "
            "use the same checksum mode."
        )
    given = command.checksum
    if given is None or upload.checksum_algorithm is None or checksum is None:
        return
    if (given.algorithm, given.digest) != (checksum.algorithm, checksum.digest):
        raise BadDigest(
            f"The {given.algorithm.value} you specified did not match the calculated checksum.",
            expected_digest=encode_digest(given.digest),
            calculated_digest=encode_digest(checksum.digest),
        )


def _etag(listed: Sequence[PartHead]) -> str:
    """Return the MD5 of the parts' MD5s with their count (s3 rule 3.6.1)."""
    joined = bytes.fromhex("".join(head.etag for head in listed))
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(listed)}"


def _runs(listed: Sequence[PartHead]) -> tuple[PartRun, ...]:
    """Return the parts as runs of consecutive numbers and equal size."""
    runs: list[PartRun] = []
    first, count = listed[0], 0
    for head in listed:
        if head.size == first.size and head.number == first.number + count:
            count += 1
            continue
        runs.append(PartRun(first.number, count, first.size))
        first, count = head, 1
    runs.append(PartRun(first.number, count, first.size))
    return tuple(runs)


def _unlisted(heads: Sequence[PartHead], listed: Sequence[PartHead]) -> tuple[int, ...]:
    if len(heads) == len(listed):
        return ()
    kept = {head.number for head in listed}
    return tuple(head.number for head in heads if head.number not in kept)
