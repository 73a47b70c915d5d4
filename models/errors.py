"""The one error tree. Its types answer "what can I do now?". This module imports nothing of ours.

EdgewardError
├── UsageError           the call is wrong: correct the command (exit 2)
├── ConfigRefused        the configuration is wrong: correct the file, every fault is listed (exit 2)
├── DataMissing          a dataset is not here: say where it is, or do without (exit 3)
├── ModelRefused         this model or bundle can't be used: put another in its place
│   └── RuntimeMissing   no TFLite runtime is usable: install one
├── SnapshotRefused      a kept state can't be read by this version: start that state anew, and say so
├── InputRefused         this one message can't be used: report it and go on with the next
├── StoreUnwritable      the disk is full, read-only or failing: go on in memory, or stop (exit 4)
├── StoreDamaged         the store's file is no sound database: repair it, or put it aside (exit 4)
├── BrokerAway           the broker does not answer: wait and try again
└── BrokerRefused        the broker answers and says no: correct credentials, certificates or rights
    └── SessionTakenOver another client uses our identity: stop, and never fight for it

Facts are attributes, the message is a sentence. No message holds a payload, a note's text or a reading.
"""

from __future__ import annotations

from collections.abc import Sequence


class EdgewardError(Exception):
    """What everything that Edgeward raises on purpose descends from."""


class UsageError(EdgewardError):
    """The command was called in a way that can't work."""


class ConfigRefused(EdgewardError):
    """The configuration has faults, all of which are in *faults*, one sentence each."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(f"{source} has {len(self.faults)} fault{'s' * (len(self.faults) != 1)}:{lines}")


class DataMissing(EdgewardError):
    """A dataset, or one of its files, is not in the data directory or is not the file it should be."""


class ModelRefused(EdgewardError):
    """A model file or bundle is damaged, incomplete, or needs what the runtime doesn't have."""


class RuntimeMissing(ModelRefused):
    """No TFLite runtime, or not the one asked for, can be used on this machine."""


class SnapshotRefused(EdgewardError):
    """A state that was kept is damaged, or was written by another version or for another line of work."""


class InputRefused(EdgewardError):
    """One message can't be used. *reason* is from a closed list, *field* names a field of the contract."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(reason if field is None else f"{field}: {reason}")


class StoreUnwritable(EdgewardError):
    """The gateway's store can't be written now; once the disk can be, it works again."""


class StoreDamaged(EdgewardError):
    """The gateway's store, or what stands in its place, can't be read as one."""


class BrokerAway(EdgewardError):
    """The broker can't be reached now; trying again later may work."""


class BrokerRefused(EdgewardError):
    """The broker, or the check of its certificate, said no; trying again changes nothing."""


class SessionTakenOver(BrokerRefused):
    """Another client connected with our client id."""
