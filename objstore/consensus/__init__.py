"""Floor 1: one replicated log per partition, led by whom the control store names, safe by majority promises.

`PartitionLog` is a machine without I/O; `Ready` is what it wants done, with the contract persist, send, apply,
advance. The design and its rules are in `DESIGN.md` beside this file.
"""

from objstore.consensus.core import PartitionLog
from objstore.consensus.leading import Rejection
from objstore.consensus.membership import (
    NO_MEMBERSHIP,
    NO_REPLICA,
    ChangeKind,
    Membership,
    MembershipChange,
    ReplicaId,
    decode_membership,
    encode_membership,
    make_replica_id,
)
from objstore.consensus.messages import Entry, EntryKind, Epoch, Message, Snapshot
from objstore.consensus.ready import (
    HardState,
    LogConfig,
    LogState,
    ReadState,
    Ready,
    Role,
    SoftState,
    Trace,
)

__all__ = [
    "NO_MEMBERSHIP",
    "NO_REPLICA",
    "ChangeKind",
    "Entry",
    "EntryKind",
    "Epoch",
    "HardState",
    "LogConfig",
    "LogState",
    "Membership",
    "MembershipChange",
    "Message",
    "PartitionLog",
    "ReadState",
    "Ready",
    "Rejection",
    "ReplicaId",
    "Role",
    "Snapshot",
    "SoftState",
    "Trace",
    "decode_membership",
    "encode_membership",
    "make_replica_id",
]
