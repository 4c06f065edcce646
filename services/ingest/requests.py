"""What the ingest routes take, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from candid.forms import of_form
from candid.gallery.booking import MAX_PHOTOS, Disposition, View
from candid.gallery.collections import DEFAULT_COLLECTION
from candid.gallery.fields import BookedAt, Fields, Label
from candid.gallery.intake import NewBooking, NewPhoto
from candid.gallery.sharing import Direction, NewShare
from candid.http.kinds import AgencyName, CollectionName, ContentType, Cursor, LegalBasis, Limit
from candid.moments import Moment, in_order


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhotoRequest(_Request):
    """One photo that will come."""

    content_type: ContentType
    view: View = View.FRONTAL
    sha256: Annotated[str, of_form("[0-9a-f]{64}", "a SHA-256: 64 of 0-9 and a-f")] | None = None

    def to_domain(self) -> NewPhoto:
        """As the rules have it."""
        return NewPhoto(self.content_type, self.view, self.sha256)


class BookingRequest(_Request):
    """One booking with its photos."""

    booking_number: Label
    subject_id: Label
    booked_at: BookedAt
    collection: CollectionName = DEFAULT_COLLECTION
    fields: Fields = Field(default_factory=dict)
    photos: Annotated[tuple[PhotoRequest, ...], Field(min_length=1, max_length=MAX_PHOTOS)] = (
        PhotoRequest(content_type="image/jpeg"),
    )

    def to_domain(self) -> NewBooking:
        """As the rules have it."""
        photos = tuple(photo.to_domain() for photo in self.photos)
        return NewBooking(self.booking_number, self.subject_id, self.booked_at, self.collection, self.fields, photos)


class BatchRequest(_Request):
    """Up to a hundred bookings; each is validated on its own, so that one bad record does not stop the rest."""

    bookings: Annotated[tuple[Any, ...], Field(min_length=1, max_length=100)]


class ChangeRequest(_Request):
    """What of a booking may be corrected; at least one member."""

    subject_id: Label | None = None
    booked_at: BookedAt | None = None
    disposition: Disposition | None = None
    fields: Fields | None = None

    def changes(self) -> dict[str, Any]:
        """The members that were sent."""
        sent = {name: value for name in self.model_fields_set if (value := getattr(self, name)) is not None}
        if isinstance(sent.get("disposition"), Disposition):
            sent["disposition"] = sent["disposition"].value
        return sent


class ShareRequest(_Request):
    """Which collection another agency may read, and by what right."""

    collection: CollectionName
    reader: AgencyName
    legal_basis: LegalBasis

    def to_domain(self) -> NewShare:
        """As the rules have it."""
        return NewShare(self.collection, self.reader, self.legal_basis)


class PlaceRequest(_Request):
    """Where the agency's Rekognition calls may read images."""

    bucket: Annotated[
        str,
        of_form(
            "[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
            "a bucket's name: 3 to 63 of a-z, 0-9 and hyphens, with no hyphen at either end and no dot",
        ),
    ]
    prefix: Annotated[
        str, StringConstraints(max_length=512), of_form(r"|[\x20-\x7e]+/", "empty, or ASCII with a / at its end")
    ] = ""


class ShareQuery(_Request):
    """Which shares are listed."""

    direction: Direction = Direction.GIVEN
    limit: Limit = 50
    cursor: Cursor | None = None


class OfAgency(_Request):
    """Whose booking is read: the caller's agency's, or one in a collection that another shares."""

    agency: AgencyName | None = None
    collection: CollectionName = DEFAULT_COLLECTION


class ListQuery(_Request):
    """Filters of a listing; query parameters are text."""

    agency: AgencyName | None = None
    state: Literal["awaiting_photo", "received", "enrolled", "rejected", "deleting"] | None = None
    collection: CollectionName | None = None
    booked_from: Moment | None = None
    booked_before: Moment | None = None
    booking_number: Label | None = None
    limit: Limit = 50
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not in_order(self.booked_from, self.booked_before):
            raise ValueError("booked_from must lie before booked_before")
        return self
