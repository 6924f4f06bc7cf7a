"""The edge of S3: plain ASGI in, plain ASGI out. `pipeline` is the application; DESIGN.md tells its steps."""

__all__: list[str] = []
