"""Floor 1, pure: who holds what. Members, numbered rings, the function that computes them, and
plans to get from one to another.
"""

from objstore.placement.assign import assign
from objstore.placement.describe import describe_plan, describe_ring
from objstore.placement.members import Member, sort_members
from objstore.placement.plan import RebalancePlan, Step, plan
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
    "RebalancePlan",
    "Ring",
    "Rule",
    "Step",
    "Violation",
    "assign",
    "describe_plan",
    "describe_ring",
    "key_hash64",
    "plan",
    "sort_members",
    "validate",
    "validate_change",
]
