"""Settings from command line, environment and file: who wins, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.server.refusal import StartRefused
from objstore.server.settings import Settings
from objstore.server.settings_sources import load_settings, parse_bytes, parse_seconds


def load(tmp_path: Path, toml: str = "", flags=None, **environ: str) -> Settings:
    """Load settings from a file with this text, these flags and this environment."""
    file = tmp_path / "objstore.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(flags=flags or {}, environ=environ, config_file=file)


def causes(tmp_path: Path, toml: str = "", flags=None, **environ: str) -> str:
    """Return what loading complains about."""
    with pytest.raises(StartRefused) as refusal:
        load(tmp_path, toml, flags, **environ)
    return "\n".join(refusal.value.causes)


def test_command_line_wins_over_environment_over_file_over_default(tmp_path) -> None:
    """The nearer to the person, the more it weighs; an operator overrides a file without editing it."""
    toml = 'region = "file-1"\naddress = "127.0.0.1:1"\nlog_level = "error"'
    settings = load(
        tmp_path,
        toml,
        {"address": "127.0.0.1:3"},
        OBJSTORE_ADDRESS="127.0.0.1:2",
        OBJSTORE_REGION="env-1",
    )
    assert settings.listen.address == "127.0.0.1:3"
    assert settings.s3.region == "env-1"
    assert settings.log.log_level == "error"
    assert settings.workers == 1


def test_file_may_be_named_by_the_environment(tmp_path) -> None:
    """Containers are configured by their environment alone."""
    file = tmp_path / "x.toml"
    file.write_text("dev = true", encoding="utf-8")
    assert load_settings(flags={}, environ={"OBJSTORE_CONFIG": str(file)}).dev


def test_all_kinds_of_values_are_read_from_text(tmp_path) -> None:
    """The environment knows only texts; units are written as people write them."""
    settings = load(
        tmp_path,
        OBJSTORE_DIRS="/a, /b",
        OBJSTORE_BUCKETS="one,two",
        OBJSTORE_REGION_STRICT="yes",
        OBJSTORE_INLINE_LIMIT_BYTES="8KiB",
        OBJSTORE_TRASH_RETENTION_S="2h",
        OBJSTORE_CONNECTIONS_MAX="12",
        OBJSTORE_TLS_CERT="/x.pem",
    )
    assert settings.storage.dirs == (Path("/a"), Path("/b"))
    assert settings.s3.buckets == ("one", "two")
    assert settings.s3.region_strict
    assert settings.storage.inline_limit_bytes == 8192
    assert settings.storage.trash_retention_s == 7200
    assert settings.listen.connections_max == 12
    assert settings.listen.tls_cert == Path("/x.pem")


def test_unknown_names_are_refused_with_the_nearest_known_one(tmp_path) -> None:
    """A misspelt setting that is silently ignored is how data ends up on the wrong disk."""
    text = causes(tmp_path, "adress = 'x'", OBJSTORE_LOG_LEVLE="info", PATH="/bin")
    assert "adress is not a setting (did you mean address?)" in text
    assert "OBJSTORE_LOG_LEVLE is not a setting (did you mean OBJSTORE_LOG_LEVEL?)" in text
    assert "PATH" not in text


def test_all_faults_of_all_sources_are_told_at_once(tmp_path) -> None:
    """Fixing one fault a restart is a poor way to spend a night."""
    text = causes(
        tmp_path,
        "workers = 'many'\ndirs = 5",
        {"idle_timeout_s": "soon"},
        OBJSTORE_DEV="perhaps",
        OBJSTORE_BLOCK_BYTES="4 parsecs",
    )
    for name in ("workers", "dirs", "--idle-timeout-s", "OBJSTORE_DEV", "OBJSTORE_BLOCK_BYTES"):
        assert name in text


def test_broken_and_missing_files_are_told_plainly(tmp_path) -> None:
    """The person sees the file and the fault, not a traceback."""
    assert "is not valid TOML" in causes(tmp_path, "address =")
    with pytest.raises(StartRefused, match="cannot read the settings file"):
        load_settings(flags={}, environ={}, config_file=tmp_path / "missing.toml")


def test_keys_may_come_from_files(tmp_path) -> None:
    """Orchestrators hand secrets over as files; the first line counts, as editors add a line break."""
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-of-root\n", encoding="utf-8")
    access = tmp_path / "access"
    access.write_text("ROOT\n", encoding="utf-8")
    settings = load(
        tmp_path,
        OBJSTORE_ROOT_SECRET_KEY_FILE=str(secret),
        OBJSTORE_ROOT_ACCESS_KEY_FILE=str(access),
    )
    assert settings.access.root_secret_key.reveal() == "s3cr3t-of-root"
    assert settings.access.root_access_key == "ROOT"


def test_key_and_key_file_together_are_refused(tmp_path) -> None:
    """Nobody could tell which of the two is meant."""
    text = causes(tmp_path, OBJSTORE_ROOT_SECRET_KEY="a", OBJSTORE_ROOT_SECRET_KEY_FILE="/b")
    assert "are both given" in text


def test_only_keys_come_from_files(tmp_path) -> None:
    """`address_file` is a mistake, not a feature."""
    assert "address_file is not a setting" in causes(tmp_path, "address_file = 'x'")


def test_users_are_tables_with_a_secret_or_a_file(tmp_path) -> None:
    """Tests and small teams need users beside root without an admin call."""
    secret = tmp_path / "bob"
    secret.write_text("bobs-secret", encoding="utf-8")
    toml = f"""
    [[users]]
    name = "alice"
    access_key = "ALICE"
    secret_key = "alices-secret"
    [[users]]
    name = "bob"
    access_key = "BOB"
    secret_key_file = "{secret}"
    """
    alice, bob = load(tmp_path, toml).access.users
    assert (alice.name, alice.access_key, alice.secret_key.reveal()) == (
        "alice",
        "ALICE",
        "alices-secret",
    )
    assert bob.secret_key.reveal() == "bobs-secret"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('name = "a"', "needs `name` and `access_key`"),
        ('name = "a"\naccess_key = "b"', "either `secret_key` or `secret_key_file`"),
        ('name = "a"\naccess_key = "b"\nsecert_key = "c"', "did you mean secret_key?"),
        ('name = "a"\naccess_key = "b"\nsecret_key_file = "/nowhere"', "cannot read /nowhere"),
    ],
)
def test_faulty_users_are_refused_without_showing_secrets(tmp_path, table, complaint) -> None:
    """The complaint goes to a log; it names the entry, never its secret."""
    text = causes(tmp_path, f"[[users]]\n{table}")
    assert complaint in text
    assert '"c"' not in text


@given(
    st.integers(0, 1 << 50),
    st.sampled_from([("", 1), ("KiB", 1024), (" MiB", 1 << 20), ("GB", 10**9)]),
)
def test_sizes_mean_what_their_units_say(number, unit) -> None:
    """1 KiB is 1,024 bytes and 1 KB is 1,000; guessing costs space or refuses writes."""
    assert parse_bytes(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("text", ["", "x", "-1", "1 furlong", "1.5.2", "0.0001", "٣"])
def test_what_is_no_size_is_refused(text) -> None:
    """A size that is read as something else than written is worse than none."""
    with pytest.raises(ValueError, match="is not"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("250ms", 0.25), ("5m", 300), ("12h", 43200), ("7d", 604800)]
)
def test_durations_mean_what_their_units_say(text, seconds) -> None:
    """`m` is minutes and `ms` is milliseconds."""
    assert parse_seconds(text) == seconds
