"""Who an access key belongs to."""

from __future__ import annotations

from objstore.service.identities import ANONYMOUS, Identities, UserEntry

ROOT = UserEntry("root", "root-key", "root-secret", is_root=True)
ANN = UserEntry("ann", "ann-key", "ann-secret")


def test_keys_are_looked_up():
    """An unknown key has no secret, so that no signature can be right."""
    identities = Identities([ROOT, ANN])
    assert identities.secret_of("ann-key") == "ann-secret"
    assert identities.secret_of("nobody") is None
    assert identities.identity_of("root-key").is_root
    assert not identities.identity_of("ann-key").is_root


def test_owner_survives_a_change_of_keys():
    """Buckets belong to the user, not to the key pair."""
    before = Identities([ANN]).identity_of("ann-key")
    after = Identities([UserEntry("ann", "new-key", "new-secret")]).identity_of("new-key")
    assert (before.canonical_id, before.account_id) == (after.canonical_id, after.account_id)
    assert len(before.canonical_id) == 64
    assert len(before.account_id) == 12
    assert before.account_id.isdigit()


def test_secrets_do_not_show():
    """A user entry lands in logs and tracebacks."""
    assert "ann-secret" not in repr(ANN)


def test_nobody_is_anonymous():
    """Whoever signed nothing owns nothing."""
    assert ANONYMOUS.is_anonymous
    assert not Identities([ANN]).identity_of("ann-key").is_anonymous
