"""Floor 1, pure: who holds what. Members, numbered rings, the function that computes them, and
plans to get from one to another.
"""

from objstore.placement.assign import assign
from objstore.placement.members import Member, sort_members
from objstore.placement.ring import (
    DATA_PARTITIONS,
    METADATA_PARTITIONS,
    Ring,
    key_hash64,
)
from objstore.placement.validate import Rule, Violation, validate, validate_change

__all__ = [
    "DATA_PARTITIONS",
    "METADATA_PARTITIONS",
    "Member",
    "Ring",
    "Rule",
    "Violation",
    "assign",
    "key_hash64",
    "sort_members",
    "validate",
    "validate_change",
]
