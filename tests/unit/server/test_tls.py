"""Certificates: what is served, what is refused in plain words, and renewal without a restart."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from objstore.server.refusal import StartRefused
from objstore.server.tls import load_tls, reload_tls


def make_pair(folder: Path, name: str, *, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=365_00))
        .sign(key, hashes.SHA256())
    )
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return cert_file, key_file


def served_name(context: ssl.SSLContext) -> bytes:
    """Shake hands in memory; return the certificate that the server showed."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert(binary_form=True) or b""


def test_a_good_pair_is_served_with_tls_1_2_or_later(tmp_path) -> None:
    """Older versions are broken and no SDK needs them."""
    context = load_tls(*make_pair(tmp_path, "one"))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert b"one" in served_name(context)


def test_mismatched_pair_is_told_as_such(tmp_path) -> None:
    """The usual mistake of a renewal; OpenSSL's own text would not help."""
    cert, _ = make_pair(tmp_path, "one")
    _, key = make_pair(tmp_path, "two")
    with pytest.raises(StartRefused, match="is not the private key of the certificate"):
        load_tls(cert, key)


def test_other_faults_are_told_plainly(tmp_path) -> None:
    """A missing file, a wrong format and a passphrase each have their own remedy."""
    cert, key = make_pair(tmp_path, "one")
    _, locked = make_pair(tmp_path, "locked", passphrase=b"x")
    garbage = tmp_path / "garbage"
    garbage.write_text("nothing", encoding="ascii")
    with pytest.raises(StartRefused, match="cannot read"):
        load_tls(cert, tmp_path / "missing")
    with pytest.raises(StartRefused, match="not in PEM form"):
        load_tls(garbage, key)
    with pytest.raises(StartRefused, match="passphrase"):
        load_tls(cert, locked)


def test_renewal_serves_the_new_certificate(tmp_path) -> None:
    """Certificates live for weeks and servers for months."""
    context = load_tls(*make_pair(tmp_path, "one"))
    reload_tls(context, *make_pair(tmp_path, "two"))
    assert b"two" in served_name(context)


def test_failed_renewal_keeps_the_old_certificate(tmp_path) -> None:
    """A botched renewal must not take the server down before somebody reads the log."""
    cert, key = make_pair(tmp_path, "one")
    context = load_tls(cert, key)
    _, other = make_pair(tmp_path, "two")
    with pytest.raises(StartRefused):
        reload_tls(context, cert, other)
    assert b"one" in served_name(context)
