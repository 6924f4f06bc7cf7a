"""Bodies: the framings that a payload may come in, read without I/O as the bytes arrive."""

from objstore.s3.bodies.aws_chunked import AwsChunkedDecoder

__all__ = ["AwsChunkedDecoder"]
