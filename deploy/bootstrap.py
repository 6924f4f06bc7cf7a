#!/usr/bin/env python3
"""Makes an environment of this checkout from a hashed lock file; needs Python 3.11 or later and nothing else.

    python3 deploy/bootstrap.py dev                  .venv/           everything to run, test and build
    python3 deploy/bootstrap.py clients              .venv-clients/   clients of other people that tests drive
    python3 deploy/bootstrap.py clients-boto3-1.34   .venv-clients-boto3-1.34/   and so on: clients that cannot
                                                     live beside others, each named like its lock file
    python3 deploy/bootstrap.py s3tests              .venv-s3tests/   what the public S3 suite needs

uv does the work. It is taken from PATH or `.tools/`; otherwise it is installed there with pip, or, where there is no pip
either, from its wheel on the package index, whose SHA-256 is pinned below. Neither ensurepip nor the venv package
is needed. pip's settings for the index, certificates and links (environment and pip.conf) hold for uv too.

A stamp with the digest of all inputs makes a second call return at once.

The server's environment gets the interpreter that runs this, unless that was built without optimisation, as pyenv does by
default, and the distribution has a usable one: the same requests cost a tenth to a quarter less there. `--this-python`,
which `make PYTHON=...` gives, keeps the one that runs this.
"""

from __future__ import annotations

import configparser
import hashlib
import html.parser
import io
import os
import platform
import shutil
import ssl
import subprocess
import sys
import sysconfig
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
STAMP = ".objstore-stamp"
PYTHON_MIN = (3, 11)
THIS_PYTHON = "--this-python"
OF_DISTRIBUTION = "/usr/bin/python3"

UV_VERSION = "0.13.8"
UV_WHEELS = {
    ("x86_64", "glibc"): (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    ("aarch64", "glibc"): (
        f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
}

BESIDE_DEV = (
    "clients",
    "clients-aioboto3",
    "clients-boto3-1.34",
    "clients-boto3-1.36",
    "clients-duckdb",
    "clients-duplicity",
    "s3tests",
)
PROFILES = {"dev": (".venv", "requirements/dev.lock")} | {
    name: (f".venv-{name}", f"requirements/{name}.lock") for name in BESIDE_DEV
}
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "no-index": "UV_NO_INDEX",
}


def main(arguments: list[str]) -> int:
    """Make the environments that the arguments name; return the exit code."""
    if sys.version_info < PYTHON_MIN:
        return _fail(
            f"Python {platform.python_version()} is too old: run this with python3.11 or later"
        )
    profiles = [argument for argument in arguments if argument != THIS_PYTHON]
    unknown = sorted(set(profiles) - set(PROFILES))
    if unknown or not profiles:
        return _fail(f"usage: python3 deploy/bootstrap.py [{THIS_PYTHON}] {' | '.join(PROFILES)}")
    try:
        for profile in profiles:
            is_free = profile == "dev" and THIS_PYTHON not in arguments
            make_environment(profile, choose_python() if is_free else sys.executable)
    except subprocess.CalledProcessError as error:
        return _fail(
            f"{Path(error.cmd[0]).name} {error.cmd[1]} failed with exit code {error.returncode}"
        )
    except (OSError, SetupError) as error:
        return _fail(str(error))
    return 0


class SetupError(Exception):
    """The environment cannot be made; the text says why and what to do."""


def choose_python() -> str:
    """Return the interpreter for the server: this one, or the distribution's where that is built better."""
    if is_optimised(sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix):
        return sys.executable
    minimum = f"{PYTHON_MIN[0]}, {PYTHON_MIN[1]}"
    suits = f"import sys; sys.exit(sys.base_prefix != '/usr' or sys.version_info < ({minimum}))"
    if not _works([OF_DISTRIBUTION, "-I", "-c", suits]):
        return sys.executable
    return OF_DISTRIBUTION


def is_optimised(build_options: str, base_prefix: str) -> bool:
    """Tell whether an interpreter is built with its profile: it says so, or is a distribution's, which all are."""
    return "--enable-optimizations" in build_options or base_prefix == "/usr"


def make_environment(profile: str, interpreter: str) -> None:
    """Make one environment, unless its stamp says that it is made already."""
    folder, lock = (ROOT / name for name in PROFILES[profile])
    digest = _digest(profile, lock, interpreter)
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        stamp.touch()
        return
    settings = pip_settings()
    uv = find_uv(settings)
    environment = uv_environment(settings)
    _say(f"making {folder.name} from {lock.relative_to(ROOT)}")
    if interpreter != sys.executable:
        _say(
            f"taking {interpreter}: {sys.executable} is built without optimisation"
            f" (to have that one all the same: rm -rf .venv; make PYTHON={sys.executable} setup)"
        )
    if not (folder / "bin" / "python").exists() or not _is_alive(folder, interpreter):
        _run([uv, "venv", "--quiet", "--clear", "--python", interpreter, str(folder)], environment)
    stamp.unlink(missing_ok=True)
    python = ["--python", str(folder / "bin" / "python")]
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", *python, str(lock)]
    _run([uv, *sync], environment)
    if profile == "dev":
        editable = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
        _run([uv, "pip", "install", "--quiet", *python, *editable], environment)
        # Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each start would compile the whole package again.
        compiled = [str(folder / "bin" / "python"), "-m", "compileall", "-q", "objstore"]
        _run(compiled, environment)
    stamp.write_text(digest, encoding="ascii")


def find_uv(settings: dict[str, str]) -> str:
    """Return a uv to use: from PATH, from `.tools/`, or installed there now."""
    ours = TOOLS / "bin" / "uv"
    for found in (shutil.which("uv"), str(ours) if ours.is_file() else None):
        if found and _works([found, "--version"]):
            return found
    _say(f"installing uv {UV_VERSION} into .tools/")
    pip = [sys.executable, "-m", "pip"]
    if _works([*pip, "--version"]):
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--upgrade",
            "--only-binary",
            ":all:",
        ]
        environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
        _run([*pip, "install", *options, "--target", str(TOOLS), f"uv=={UV_VERSION}"], environment)
    else:
        unpack_wheel(download_wheel(settings))
    if not _works([str(ours), "--version"]):
        raise SetupError(
            "the installed uv does not run here: install uv yourself and put it on PATH"
        )
    return str(ours)


# --- uv without pip: from the wheel on the index -------------------------------------------------------------


def download_wheel(settings: dict[str, str]) -> bytes:
    """Fetch the pinned wheel of this machine from the configured package index and verify its digest."""
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "other"
    wheel = UV_WHEELS.get((platform.machine(), libc))
    if wheel is None:
        raise SetupError(
            f"no uv is pinned for {platform.machine()} with {libc}: put uv on PATH, or install pip"
        )
    index = settings.get("index-url", "")
    if not index:
        raise SetupError(
            "there is neither uv nor pip here, and no package index is configured: install one of them"
            " (for example `apt install python3-pip`), or set PIP_INDEX_URL to the index's simple API"
        )
    name, sha256 = wheel
    page_url = index.rstrip("/") + "/uv/"
    context = ssl.create_default_context(cafile=settings.get("cert"))
    links = _Links()
    links.feed(_fetch(page_url, context).decode("utf-8", "replace"))
    found = [
        link
        for link in links.found
        if urllib.parse.unquote(link.partition("#")[0]).endswith("/" + name)
    ]
    if not found:
        raise SetupError(f"the package index has no {name}")
    content = _fetch(urllib.parse.urljoin(page_url, found[0].partition("#")[0]), context)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SetupError(
            f"{name} from the package index does not have the pinned SHA-256: not used"
        )
    return content


class _Links(html.parser.HTMLParser):
    """Gathers the targets of all links of a page of the simple API."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a link."""
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.found.append(target)


def _fetch(url: str, context: ssl.SSLContext) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=120, context=context) as answer:
        return answer.read()


def unpack_wheel(content: bytes) -> None:
    """Put the uv program of a wheel into `.tools/bin/`."""
    target = TOOLS / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        inside = next(name for name in wheel.namelist() if name.endswith(".data/scripts/uv"))
        target.write_bytes(wheel.read(inside))
    target.chmod(0o755)


# --- settings of pip, for uv ------------------------------------------------------------------------------------


def pip_settings() -> dict[str, str]:
    """Return pip's settings about where packages come from; the environment wins over files."""
    home = Path.home()
    files = [
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        home / ".config" / "pip" / "pip.conf",
    ]
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(named))
    parser = configparser.RawConfigParser()
    parser.read(files, encoding="utf-8")
    found = {}
    for name in PIP_TO_UV:
        for section in ("global", "install"):
            if parser.has_option(section, name):
                found[name] = " ".join(parser.get(section, name).split())
        if given := os.environ.get("PIP_" + name.upper().replace("-", "_")):
            found[name] = given
    return found


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment for uv: ours, plus pip's settings where uv's own are not given."""
    environment = dict(os.environ)
    for name, value in settings.items():
        environment.setdefault(PIP_TO_UV[name], value)
    environment.setdefault("UV_PYTHON_DOWNLOADS", "never")
    environment.setdefault("UV_LINK_MODE", "copy")
    environment.setdefault("UV_HTTP_TIMEOUT", "180")
    environment.pop("VIRTUAL_ENV", None)
    return environment


# --- small things -------------------------------------------------------------------------------------------------


def _digest(profile: str, lock: Path, interpreter: str) -> str:
    seen = hashlib.sha256(f"{profile} {interpreter} {sys.version_info[:2]} {ROOT}\n".encode())
    for file in (lock, Path(__file__), ROOT / "pyproject.toml"):
        seen.update(file.read_bytes())
    return seen.hexdigest()


def _is_alive(folder: Path, interpreter: str) -> bool:
    """Tell whether the Python of an environment still starts, and is the one wanted: checkouts move, interpreters go."""
    prefix = "/usr" if interpreter == OF_DISTRIBUTION else sys.base_prefix
    same = f"import sys; sys.exit(sys.base_prefix != {prefix!r})"
    return _works([str(folder / "bin" / "python"), "-c", same])


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


def _say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def _fail(text: str) -> int:
    print(f"setup: {text}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
