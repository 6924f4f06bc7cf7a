"""The use cases: one async function for each operation, joining what exists with where its bytes are. See DESIGN.md."""

__all__: list[str] = []
