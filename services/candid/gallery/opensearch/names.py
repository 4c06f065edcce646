"""What things are called in OpenSearch. The separator is ``_``, which no stack's name can hold: two stacks share a domain without
seeing each other.

    <prefix>_<model id>_<number>              a generation: one model's index, shared by small tenants, routed
    <prefix>_<model id>_<number>_<partition>  a large collection's own, unrouted, beside its generation
    <prefix>_serving, <prefix>_standby        aliases: what is searched; what is written as well
"""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from candid.gallery.index import Partition

_ENTRIES: Final = UUID("4b8a3f0e-7c55-5d0f-9a42-4f1d7a2f6b90")
_INDEX: Final = re.compile(r"(?P<generation>.+_[0-9]{6})(_(?P<partition>[0-9a-f]{16}))?")


@dataclass(frozen=True, slots=True)
class Names:
    """The names under one prefix."""

    prefix: str

    @property
    def every(self) -> str:
        """A pattern for every index of this prefix."""
        return f"{self.prefix}_*"

    @property
    def serving(self) -> str:
        """The alias of what is searched and written."""
        return f"{self.prefix}_serving"

    @property
    def standby(self) -> str:
        """The alias of what is written as well."""
        return f"{self.prefix}_standby"

    def generation(self, model_id: str, number: int) -> str:
        """A generation's shared index; ``number`` from 1."""
        return f"{self.prefix}_{model_id}_{number:06d}"

    def number_of(self, generation: str) -> int:
        """The number in a generation's name."""
        return int(generation.rpartition("_")[2])


def own_name(generation: str, partition: Partition) -> str:
    """A partition's own index beside ``generation``."""
    return f"{generation}_{partition_key(partition)}"


def parts(index: str) -> tuple[str, str | None] | None:
    """The generation that an index belongs to, and the key of its partition if it is one's own; None for another name."""
    found = _INDEX.fullmatch(index)
    return (found["generation"], found["partition"]) if found else None


def partition_key(partition: Partition) -> str:
    """16 hexadecimal digits that stand for a partition: as routing, as a term, in a name."""
    told = "\0".join((partition.agency, partition.collection, partition.kind.value))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def document_id(partition: Partition, identity: UUID) -> str:
    """The ``_id`` of an entry: derived (UUIDv5), so that writing twice is one document, and opaque, since slow logs show it."""
    return str(uuid.uuid5(_ENTRIES, f"{partition_key(partition)}\0{identity}"))
