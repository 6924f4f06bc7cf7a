"""The test kit that ships with the store: a real server for tests, fakes of the ports, simulation."""

from objstore.testing.server import S3Server, ServerFailed, TlsFiles

__all__ = ["S3Server", "ServerFailed", "TlsFiles"]
