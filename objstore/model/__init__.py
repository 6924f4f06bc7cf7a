"""Floor 0: nouns, ids, errors, limits, checksums. Pure; imports nothing of the store."""

__all__: list[str] = []
