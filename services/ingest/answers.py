"""What the ingest routes answer, as ``infra/api/openapi.yaml`` says. Pure: records in, JSON-ready dicts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from candid.gallery.booking import Booking, Photo
from candid.gallery.intake import Expected
from candid.gallery.places import Place
from candid.gallery.sharing import Share
from candid.http.answers import present, upload
from candid.tables import timestamp


def booking(record: Booking, *, photos: bool = True) -> dict[str, Any]:
    """A booking; with ``photos``, its own fields and where each photo stands (a page of them would be too long for an answer)."""
    return present(
        booking_id=record.booking_id,
        agency=record.agency,
        collection=record.collection,
        booking_number=record.booking_number,
        subject_id=record.subject_id,
        booked_at=timestamp(record.booked_at) if record.booked_at else None,
        disposition=record.disposition.value,
        fields=dict(record.fields) if photos else None,
        state=record.state.value,
        created_at=timestamp(record.created_at),
        photos=[_photo(photo) for photo in record.photos] if photos else None,
    )


def created(record: Booking, expected: Sequence[Expected]) -> dict[str, Any]:
    """A booking just registered, with the links."""
    return {
        "booking_id": record.booking_id,
        "collection": record.collection,
        "photos": [photo_upload(one) for one in expected],
    }


def photo_upload(expected: Expected) -> dict[str, Any]:
    """A photo and its link."""
    return present(
        photo_id=expected.photo.photo_id,
        view=expected.photo.view.value,
        state=expected.photo.state.value,
        upload=upload(expected.upload) if expected.upload else None,
    )


def share(told: Share) -> dict[str, Any]:
    """A share, in force or revoked."""
    return present(
        share_id=told.share_id,
        agency=told.agency,
        collection=told.collection,
        reader=told.reader,
        legal_basis=told.legal_basis,
        state="revoked" if told.revoked_at else "in_force",
        granted_at=timestamp(told.granted_at),
        granted_by=told.granted_by,
        revoked_at=timestamp(told.revoked_at) if told.revoked_at else None,
        revoked_by=told.revoked_by,
    )


def place(told: Place) -> dict[str, Any]:
    """A place."""
    return present(
        place_id=told.place_id,
        bucket=told.bucket,
        prefix=told.prefix,
        registered_at=timestamp(told.registered_at),
        registered_by=told.registered_by,
    )


def _photo(photo: Photo) -> dict[str, Any]:
    return present(
        photo_id=photo.photo_id,
        view=photo.view.value,
        state=photo.state.value,
        reason=photo.reason,
        sentence=photo.sentence,
        reasons=[dict(reason) for reason in photo.reasons] or None,
        face_id=photo.face_id,
        quality=dict(photo.quality) if photo.quality else None,
        model=photo.model,
        updated_at=timestamp(photo.updated_at) if photo.updated_at else None,
    )
