"""Every handler that the table names is there, once."""

from __future__ import annotations

import inspect

import pytest

from objstore.model.errors import AccessDenied, InvariantError
from objstore.model.names import AccountId, CanonicalId
from objstore.model.objects import Identity
from objstore.s3.operations import OPERATIONS
from objstore.server.services import Services, _authorise_source
from objstore.server.settings import Settings
from objstore.testing.catalog_kit import OWNER, bucket_record


def services():
    return Services(Settings(), registry=None, catalog=None, data=None, ids=None, hash_pool=None)


def test_every_handler_of_the_table_is_a_method_of_a_service():
    """A row that names a method nobody has would fail at its first request instead of at start."""
    handlers = services().handlers()
    assert set(handlers) == {row.handler for row in OPERATIONS if row.handler}
    assert all(inspect.iscoroutinefunction(handler) for handler in handlers.values())


def test_handler_that_two_services_have_is_refused():
    """Nobody could say which one answers."""
    doubled = services()
    doubled._all = (*doubled._all, doubled.buckets)
    with pytest.raises(InvariantError, match="2 services"):
        doubled.handlers()


def test_source_of_a_copy_is_a_read_by_the_same_caller():
    """The owner and root may, others and wrong expectations may not (s3 rules 4.9.7, 1.4.6)."""
    bucket = bucket_record()

    def judge(who, expected=None, *, is_root=False):
        identity = Identity(who, f"key-{who}", CanonicalId(who), AccountId("0" * 12), is_root)
        _authorise_source(identity, "s3:GetObject", bucket, expected)

    judge(OWNER)
    judge(OWNER, bucket.owner_account)
    judge("somebody", is_root=True)
    with pytest.raises(AccessDenied):
        judge("somebody")
    with pytest.raises(AccessDenied):
        judge(OWNER, "9" * 12)
