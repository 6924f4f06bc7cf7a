"""objstore: an S3-compatible object store in Python."""

__version__ = "0.1.0"
__all__ = ["__version__"]
