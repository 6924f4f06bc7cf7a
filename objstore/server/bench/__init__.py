"""`objstore-node bench`: measures an S3 endpoint, ours or any other, with a load generator light enough not to measure itself.

Nothing is imported here: the command line imports `command` for its help, and that imports the rest when it runs.
"""

from __future__ import annotations

__all__: list[str] = []
