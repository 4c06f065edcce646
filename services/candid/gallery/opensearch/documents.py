"""Entries as documents, and back. The mapping is ``infra/opensearch/mapping.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import numpy as np

from candid.gallery.index import Entry, Kind, Label, Neighbour, Partition, Template, microseconds, moment
from candid.gallery.opensearch.names import partition_key

TEMPLATE: Final = "template"
LABELS: Final = ("face_id", "agency", "collection", "kind", "booking_id", "subject_id", "booked_us")


def document(entry: Entry) -> dict[str, Any]:
    """What is indexed for ``entry``, whose template is checked."""
    booked = microseconds(entry.booked_at)
    return {
        "face_id": str(entry.id),
        "partition": partition_key(entry.partition),
        "agency": entry.partition.agency,
        "collection": entry.partition.collection,
        "kind": entry.partition.kind.value,
        "booking_id": entry.booking_id,
        "subject_id": entry.subject_id,
        # A date has milliseconds; bookings are told apart to the microsecond, and that is what filters look at.
        "booked_at": booked // 1000,
        "booked_us": booked,
        TEMPLATE: numbers(entry.template),
    }


def numbers(template: Template) -> list[float]:
    """A template as JSON's numbers: the shortest decimals that are its float32 values, which saves half the bytes."""
    return [float(str(value)) for value in template]


def partition_of(source: Mapping[str, Any]) -> Partition:
    """Whose a document is."""
    return Partition(source["agency"], source["collection"], Kind(source["kind"]))


def label(source: Mapping[str, Any]) -> Label:
    """A document without its template."""
    return Label(
        UUID(source["face_id"]),
        partition_of(source),
        source["booking_id"],
        source["subject_id"],
        moment(int(source["booked_us"])),
    )


def entry(source: Mapping[str, Any], template: Any) -> Entry:
    """A document with its stored template, (dimension,) floats."""
    known = label(source)
    vector = np.asarray(template, dtype=np.float32).reshape(-1)
    return Entry(known.id, known.partition, known.booking_id, known.subject_id, known.booked_at, vector)


def neighbour(source: Mapping[str, Any], cosine: float) -> Neighbour:
    """A document found by a search."""
    known = label(source)
    return Neighbour(known.id, known.partition, known.booking_id, known.subject_id, cosine)
