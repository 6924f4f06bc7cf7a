"""What S3 answers about a setting that nobody made, for the settings that this store does not keep (s3 rule 6.1).

Tools read every setting of a bucket on every run. They take an error code of its own for "not set", and stop at any other. So
a read answers what an untouched bucket of S3 answers: the code of what is missing, or the document that says that nothing is
on. A removal has nothing to remove and succeeds. Nothing is ever stored: a write that asks for more than is in force has no row
here, and is refused by its name.

A setting that the store comes to keep leaves this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from objstore.model.errors import (
    NoSuchBucketPolicy,
    NoSuchConfiguration,
    NoSuchCorsConfiguration,
    NoSuchEncryptionConfiguration,
    NoSuchLifecycleConfiguration,
    NoSuchObjectLockConfiguration,
    NoSuchOwnershipControls,
    NoSuchPublicAccessBlock,
    NoSuchReplicationConfiguration,
    NoSuchWebsiteConfiguration,
    NotFound,
)

__all__ = ["DELETES_OF_NOTHING", "EMPTY_DOCUMENTS", "MISSING", "UNSET_SETTINGS", "UnsetSetting"]


@dataclass(frozen=True, slots=True)
class UnsetSetting:
    """One setting. Its read answers `missing`, or else the document `root`."""

    get: str
    """Name of the operation that reads it."""
    delete: str | None = None
    """Name of the operation that removes it; None where S3 has none."""
    missing: type[NotFound] | None = None
    delete_missing: type[NotFound] | None = None
    """What a removal answers; None = 204 (s3 rule 6.1.1)."""
    root: str = ""
    inner: str = ""


def _by_id(get: str, delete: str) -> UnsetSetting:
    """Return a setting of which a bucket has many: there is none of any id (s3 rule 6.10)."""
    return UnsetSetting(
        get, delete, missing=NoSuchConfiguration, delete_missing=NoSuchConfiguration
    )


def _list(get: str, root: str) -> UnsetSetting:
    return UnsetSetting(get, root=root, inner="<IsTruncated>false</IsTruncated>")


UNSET_SETTINGS: Final[tuple[UnsetSetting, ...]] = (
    UnsetSetting("GetBucketAccelerateConfiguration", root="AccelerateConfiguration"),
    _by_id("GetBucketAnalyticsConfiguration", "DeleteBucketAnalyticsConfiguration"),
    _list("ListBucketAnalyticsConfigurations", "ListBucketAnalyticsConfigurationResult"),
    UnsetSetting("GetBucketCors", "DeleteBucketCors", missing=NoSuchCorsConfiguration),
    # S3 encrypts always and shows so. Here nothing is encrypted, and no document may say otherwise.
    UnsetSetting(
        "GetBucketEncryption", "DeleteBucketEncryption", missing=NoSuchEncryptionConfiguration
    ),
    _by_id(
        "GetBucketIntelligentTieringConfiguration", "DeleteBucketIntelligentTieringConfiguration"
    ),
    _list(
        "ListBucketIntelligentTieringConfigurations",
        "ListBucketIntelligentTieringConfigurationsOutput",
    ),
    _by_id("GetBucketInventoryConfiguration", "DeleteBucketInventoryConfiguration"),
    _list("ListBucketInventoryConfigurations", "ListInventoryConfigurationsResult"),
    UnsetSetting(
        "GetBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        missing=NoSuchLifecycleConfiguration,
    ),
    UnsetSetting("GetBucketLogging", root="BucketLoggingStatus"),
    _by_id("GetBucketMetricsConfiguration", "DeleteBucketMetricsConfiguration"),
    _list("ListBucketMetricsConfigurations", "ListMetricsConfigurationsResult"),
    UnsetSetting("GetBucketNotificationConfiguration", root="NotificationConfiguration"),
    UnsetSetting("GetObjectLockConfiguration", missing=NoSuchObjectLockConfiguration),
    UnsetSetting(
        "GetBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        missing=NoSuchOwnershipControls,
    ),
    UnsetSetting("GetBucketPolicy", "DeleteBucketPolicy", missing=NoSuchBucketPolicy),
    UnsetSetting("GetBucketPolicyStatus", root="PolicyStatus", inner="<IsPublic>false</IsPublic>"),
    UnsetSetting(
        "GetPublicAccessBlock", "DeletePublicAccessBlock", missing=NoSuchPublicAccessBlock
    ),
    UnsetSetting(
        "GetBucketReplication", "DeleteBucketReplication", missing=NoSuchReplicationConfiguration
    ),
    UnsetSetting(
        "GetBucketRequestPayment",
        root="RequestPaymentConfiguration",
        inner="<Payer>BucketOwner</Payer>",
    ),
    UnsetSetting("GetBucketWebsite", "DeleteBucketWebsite", missing=NoSuchWebsiteConfiguration),
)

EMPTY_DOCUMENTS: Final[Mapping[str, tuple[str, str]]] = {
    row.get: (row.root, row.inner) for row in UNSET_SETTINGS if row.missing is None
}
"""Root and content of the reads that succeed, by operation."""

DELETES_OF_NOTHING: Final[frozenset[str]] = frozenset(
    row.delete for row in UNSET_SETTINGS if row.delete is not None
)
"""The operations that remove a setting."""

MISSING: Final[Mapping[str, type[NotFound]]] = {
    name: error
    for row in UNSET_SETTINGS
    for name, error in ((row.get, row.missing), (row.delete, row.delete_missing))
    if name is not None and error is not None
}
"""The refusals, by operation."""
