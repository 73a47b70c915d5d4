"""Topics: templates with named levels, the identities read from them, and the filters to subscribe.

A template such as `hospital/{site}/bed/{device}/vitals` says where site and device stand. Any other named
level (`{ward}`) matches anything and is not used. Pure text work, nothing else lives here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from models.errors import InputRefused
from nodes.reasons import Reason

IDENTITY = re.compile(r"[A-Za-z0-9._~:-]{1,128}", re.ASCII)
"""What a site or a device may be called."""

TOPIC_LIMIT = 65_535
"""Bytes in a topic, by the MQTT standard."""

_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which device, at which site, a message is about."""

    site: str
    device: str


class Template:
    """A topic template, for instance `edgeward/v1/{site}/{device}/vitals`.

    *site* stands in where the template has no `{site}` level. Raises ValueError, with a sentence, for a
    template that cannot be used.
    """

    def __init__(self, text: str, site: str | None = None) -> None:
        levels = text.split("/")
        self._names: list[str | None] = []
        for level in levels:
            named = _NAMED.fullmatch(level)
            if named is None and (not level or re.search(r"[+#{}\x00]", level)):
                raise ValueError(
                    f"topic template level {level!r} should be plain text or one {{name}}, without + or #"
                )
            self._names.append(named.group(1) if named else None)
        names = [name for name in self._names if name is not None]
        if names.count("device") != 1 or names.count("site") > 1:
            raise ValueError("a topic template needs {device} once and {site} at most once")
        if "site" not in names and site is None:
            raise ValueError("a topic template without {site} needs a site of its own")
        if site is not None and not IDENTITY.fullmatch(site):
            raise ValueError("site should be 1-128 characters of A-Z a-z 0-9 . _ ~ : -")
        if len(text.encode()) > TOPIC_LIMIT:
            raise ValueError(f"a topic is at most {TOPIC_LIMIT} bytes")
        self.text = text
        self._levels = levels
        self._site = site
        self.filter = "/".join(
            "+" if name else level for level, name in zip(levels, self._names, strict=True)
        )

    def matches(self, levels: list[str]) -> bool:
        """Whether a topic, already split at its slashes, has this template's shape."""
        return len(levels) == len(self._levels) and all(
            name is not None or level == wanted
            for level, wanted, name in zip(levels, self._levels, self._names, strict=True)
        )

    def identity(self, levels: list[str]) -> Identity:
        """Site and device of a matching topic. Raises InputRefused when one is outside the alphabet."""
        found = {
            name: level for level, name in zip(levels, self._names, strict=True) if name in ("site", "device")
        }
        site, device = found.get("site", self._site or ""), found["device"]
        if not IDENTITY.fullmatch(site):
            raise InputRefused(Reason.BAD_IDENTITY, "site")
        if not IDENTITY.fullmatch(device):
            raise InputRefused(Reason.BAD_IDENTITY, "device")
        return Identity(site, device)


def merge_filters(filters: Iterable[str]) -> tuple[str, ...]:
    """The smallest set of filters without overlaps that covers *filters*.

    A broker delivers one copy for each matching filter (mosquitto does on MQTT 5), so two filters that some
    topic matches both are replaced by one that covers them; what it brings besides is left aside on arrival.

    >>> merge_filters(["a/+/x", "a/b/+", "c/x", "c/x"])
    ('a/+/+', 'c/x')
    """
    merged: list[list[str]] = []
    for levels in (text.split("/") for text in filters):
        pending = levels
        while True:
            overlapping = next((other for other in merged if _overlap(other, pending)), None)
            if overlapping is None:
                break
            merged.remove(overlapping)
            pending = [a if a == b else "+" for a, b in zip(overlapping, pending, strict=True)]
        merged.append(pending)
    return tuple(sorted("/".join(levels) for levels in merged))


def _overlap(one: list[str], other: list[str]) -> bool:
    return len(one) == len(other) and all(a == b or "+" in (a, b) for a, b in zip(one, other, strict=True))
