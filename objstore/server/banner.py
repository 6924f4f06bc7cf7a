"""What a person sees when the server is ready: where it is, what it serves, which keys, what to try first."""

from __future__ import annotations

from collections.abc import Sequence

from objstore import __version__
from objstore.server.addresses import Address, parse_address
from objstore.server.keys import KeyOrigin, RootKeys
from objstore.server.settings import Settings

__all__ = ["banner", "endpoint_url"]

_ANY_HOST = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised here, not bound


def endpoint_url(address: Address, *, is_tls: bool) -> str:
    """Return the URL under which this machine reaches a listener."""
    host = "127.0.0.1" if address.host in _ANY_HOST else address.host
    return f"{'https' if is_tls else 'http'}://{Address(host, address.port)}"


def banner(
    settings: Settings,
    address: Address,
    keys: RootKeys,
    *,
    notices: Sequence[str] = (),
    ready_after_s: float,
) -> str:
    """Return the text to print at readiness; holds the secret key only where it was made just now or is public."""
    is_tls = settings.listen.tls_cert is not None
    endpoint = endpoint_url(address, is_tls=is_tls)
    console = endpoint_url(parse_address(settings.listen.console_address), is_tls=is_tls)
    directories = ", ".join(str(path) for path in settings.storage.dirs)
    lines = [
        f"objstore {__version__} is ready after {ready_after_s:.2f} s",
        "",
        f"  S3 endpoint   {settings.listen.public_url or endpoint}",
        f"  Console       {console} is kept for it; this version serves no console",
        f"  Data          {directories}",
        f"  Region        {settings.s3.region}",
        *_key_lines(keys),
    ]
    lines += [f"  {notice}" for notice in notices]
    if settings.dev:
        lines += [
            "",
            "  DEVELOPMENT MODE: everybody on this machine knows these keys. Not for real data.",
        ]
    if keys.origin in {KeyOrigin.MADE, KeyOrigin.DEVELOPMENT}:
        lines += _first_steps(endpoint, keys, settings.s3.region)
    return "\n".join([*lines, ""])


def _key_lines(keys: RootKeys) -> list[str]:
    access = f"  Access key    {keys.access_key}"
    secret = f"  Secret key    {keys.secret_key.reveal()}"
    match keys.origin:
        case KeyOrigin.MADE:
            return [access, f"{secret}   (shown this once, kept in {keys.file})"]
        case KeyOrigin.DEVELOPMENT:
            return [access, secret]
        case KeyOrigin.STORED:
            return [f"{access}   (the secret is in {keys.file})"]
        case KeyOrigin.GIVEN:
            return [f"{access}   (given by the settings)"]


def _first_steps(endpoint: str, keys: RootKeys, region: str) -> list[str]:
    secret = keys.secret_key.reveal()
    return [
        "",
        "  Try it with the aws command line:",
        f"    export AWS_ACCESS_KEY_ID={keys.access_key} AWS_DEFAULT_REGION={region}",
        f"    export AWS_SECRET_ACCESS_KEY={secret}",
        f"    aws --endpoint-url {endpoint} s3 mb s3://first",
        f"    echo hello | aws --endpoint-url {endpoint} s3 cp - s3://first/hello.txt",
        "",
        "  or with boto3:",
        "    import boto3",
        f'    s3 = boto3.client("s3", endpoint_url="{endpoint}", region_name="{region}",',
        f'                      aws_access_key_id="{keys.access_key}",',
        f'                      aws_secret_access_key="{secret}")',
        '    s3.put_object(Bucket="first", Key="hello.txt", Body=b"hello")',
    ]
