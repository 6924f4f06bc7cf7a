"""Setting up a checkout on a machine that has next to nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WHEEL = "uv-1-py3-none-any.whl"


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The script as a module, working in a folder of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "deploy" / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "TOOLS", tmp_path / ".tools")
    return module


def wheel_bytes() -> bytes:
    """Return a wheel with a program in it, as uv's is built."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("uv-1.data/scripts/uv", "#!/bin/sh\necho uv 1\n")
    return buffer.getvalue()


@contextmanager
def index(content: bytes) -> Iterator[str]:
    """Serve a package index of one project with one file; yield its URL."""
    page = f'<a href="../../files/{WHEEL}#sha256=0">{WHEEL}</a>'.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/simple/uv/": page, f"/files/{WHEEL}": content}[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


def pin(bootstrap, monkeypatch, sha256: str) -> None:
    """Pin the wheel of this test for every machine."""
    monkeypatch.setattr(bootstrap.platform, "machine", lambda: "any")
    monkeypatch.setattr(bootstrap.platform, "libc_ver", lambda: ("glibc", "2"))
    monkeypatch.setattr(bootstrap, "UV_WHEELS", {("any", "glibc"): (WHEEL, sha256)})


def test_without_pip_the_pinned_wheel_comes_from_the_index(
    bootstrap, monkeypatch, tmp_path
) -> None:
    """Debian's own Python has neither pip nor ensurepip."""
    content = wheel_bytes()
    pin(bootstrap, monkeypatch, hashlib.sha256(content).hexdigest())
    ours = str(tmp_path / ".tools" / "bin" / "uv")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    works = bootstrap._works
    monkeypatch.setattr(bootstrap, "_works", lambda command: command[0] == ours and works(command))
    with index(content) as url:
        assert bootstrap.find_uv({"index-url": url}) == ours


def test_wheel_of_another_digest_is_not_used(bootstrap, monkeypatch) -> None:
    """What runs during the setup can do everything that its user can."""
    pin(bootstrap, monkeypatch, "0" * 64)
    with index(wheel_bytes()) as url, pytest.raises(bootstrap.SetupError, match="pinned SHA-256"):
        bootstrap.download_wheel({"index-url": url})


def test_without_any_source_the_next_step_is_told(bootstrap, monkeypatch) -> None:
    """The person can install pip or name an index; a traceback would tell neither."""
    pin(bootstrap, monkeypatch, "0" * 64)
    with pytest.raises(bootstrap.SetupError, match=r"python3-pip.*PIP_INDEX_URL"):
        bootstrap.download_wheel({})


def test_settings_of_pip_hold_for_uv(bootstrap, monkeypatch, tmp_path) -> None:
    """A company's index and certificates are configured once, for pip; uv does not read that by itself."""
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://from-file/simple\ncert = /ca.pem\n", encoding="utf-8"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_INDEX_URL", "https://from-environment/simple")
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    settings = bootstrap.pip_settings()
    environment = bootstrap.uv_environment(settings)
    assert environment["UV_DEFAULT_INDEX"] == "https://from-environment/simple"
    assert environment["SSL_CERT_FILE"] == "/ca.pem"
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"


def test_own_settings_of_uv_win(bootstrap, monkeypatch) -> None:
    """Whoever configured uv meant uv."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv/simple")
    assert (
        bootstrap.uv_environment({"index-url": "https://pip/simple"})["UV_DEFAULT_INDEX"]
        == "https://uv/simple"
    )


def test_stamp_makes_the_second_call_free_and_a_new_lock_makes_it_work_again(
    bootstrap, monkeypatch, tmp_path
) -> None:
    """`make run` is called many times a day; a changed lock must never be missed."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").touch()
    lock = tmp_path / "requirements" / "clients.lock"
    lock.write_text("a==1", encoding="utf-8")
    commands = []

    def run(command, _environment) -> None:
        commands.append(command[1:3])
        (tmp_path / ".venv-clients" / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(bootstrap, "find_uv", lambda _: "uv")
    monkeypatch.setattr(bootstrap, "_run", run)
    bootstrap.make_environment("clients", sys.executable)
    assert commands == [["venv", "--quiet"], ["pip", "sync"]]
    bootstrap.make_environment("clients", sys.executable)
    assert len(commands) == 2
    lock.write_text("a==2", encoding="utf-8")
    bootstrap.make_environment("clients", sys.executable)
    assert len(commands) == 4


def test_the_package_is_compiled_at_setup(bootstrap, monkeypatch, tmp_path) -> None:
    """Where Python may not write what it compiles, each start of the server would take a third of a second more."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements" / "dev.lock").touch()
    commands = []

    def run(command, _environment) -> None:
        commands.append(command)
        (tmp_path / ".venv" / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(bootstrap, "find_uv", lambda _: "uv")
    monkeypatch.setattr(bootstrap, "_run", run)
    bootstrap.make_environment("dev", sys.executable)
    python = str(tmp_path / ".venv" / "bin" / "python")
    assert commands[-1] == [python, "-m", "compileall", "-q", "objstore"]


@pytest.mark.parametrize(
    ("options", "prefix", "is_kept"),
    [
        ("'--prefix=/home/me/.pyenv/versions/3.11.7' '--enable-shared'", "/home/me/.pyenv", False),
        ("'--enable-optimizations' '--with-lto'", "/usr/local", True),
        ("'--prefix=/usr' '--without-ensurepip'", "/usr", True),
    ],
)
def test_an_interpreter_without_optimisation_gives_way_to_a_better_one(
    bootstrap, monkeypatch, options, prefix, is_kept
) -> None:
    """pyenv builds without a profile by default: every request would cost a tenth to a quarter more."""
    monkeypatch.setattr(bootstrap.sysconfig, "get_config_var", {"CONFIG_ARGS": options}.get)
    monkeypatch.setattr(bootstrap.sys, "base_prefix", prefix)
    monkeypatch.setattr(bootstrap, "_works", lambda _command: True)
    chosen = bootstrap.choose_python()
    assert chosen == (sys.executable if is_kept else bootstrap.OF_DISTRIBUTION)


def test_the_interpreter_at_hand_serves_where_there_is_no_better_one(
    bootstrap, monkeypatch
) -> None:
    """Too old, or not there at all: a slower server is better than none."""
    monkeypatch.setattr(bootstrap.sysconfig, "get_config_var", {"CONFIG_ARGS": ""}.get)
    monkeypatch.setattr(bootstrap.sys, "base_prefix", "/opt/python")
    monkeypatch.setattr(bootstrap, "OF_DISTRIBUTION", "/nowhere/python3")
    assert bootstrap.choose_python() == sys.executable
