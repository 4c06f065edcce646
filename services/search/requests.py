"""What the search routes take, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from candid.casework.searches import SearchRequest
from candid.gallery.collections import DEFAULT_COLLECTION
from candid.gallery.index import Filter
from candid.gallery.thresholds import Wanted
from candid.http.kinds import AgencyName, CollectionName, Id
from candid.moments import Moment, in_order


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be base64 without line breaks") from None
    return text


ImageBytes = Annotated[str, StringConstraints(min_length=4, max_length=6_000_000), AfterValidator(_base64)]
FaceIndex = Annotated[int, Field(ge=0, le=99, strict=True)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThresholdRequest(_Request):
    """Exactly one way to say how alike a candidate must be."""

    fmr: Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    similarity: Annotated[float, Field(ge=0, le=100, strict=True)] | None = None
    expected_false_candidates: Annotated[float, Field(gt=0, le=1_000_000, strict=True)] | None = None
    cosine: Annotated[float, Field(ge=-1, le=1, strict=True)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        # A null is no threshold: taken for one, it would quietly be the default.
        if len(self.model_fields_set) != 1 or None in self.model_dump(exclude_unset=True).values():
            raise ValueError("must have exactly one of fmr, similarity, expected_false_candidates and cosine")
        return self

    def to_domain(self) -> Wanted:
        """As the rules have it."""
        return Wanted(self.fmr, self.similarity, self.expected_false_candidates, self.cosine)


class FilterRequest(_Request):
    """What of the gallery is searched."""

    agency: AgencyName | None = None
    booked_from: Moment | None = None
    booked_before: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        # An empty range would answer "no candidate", which reads as a finding and is a slip.
        if not in_order(self.booked_from, self.booked_before):
            raise ValueError("booked_from must lie before booked_before")
        return self


class SearchMembers(_Request):
    """A search without its probe's bytes, as the form's part ``request`` has it."""

    case_id: Id
    probe_source: Literal[
        "booking_photo",
        "identity_document",
        "surveillance_still",
        "witness_photo",
        "social_media",
        "sketch",
        "other_still",
        "body_worn_camera",
        "live_stream",
    ]
    collection: CollectionName = DEFAULT_COLLECTION
    filters: FilterRequest = FilterRequest()
    threshold: ThresholdRequest | None = None
    max_candidates: Annotated[int, Field(ge=2, le=50, strict=True)] | None = None
    per_subject: Annotated[bool, Field(strict=True)] = True
    face: Literal["only", "largest", "all"] | FaceIndex = "only"

    def to_domain(self, probe: bytes | None, probe_id: str | None = None) -> SearchRequest:
        """As the rules have it."""
        return SearchRequest(
            case_id=self.case_id,
            probe_source=self.probe_source,
            probe=probe,
            probe_id=probe_id,
            collection=self.collection,
            agency=self.filters.agency,
            where=Filter(self.filters.booked_from, self.filters.booked_before),
            threshold=self.threshold.to_domain() if self.threshold else Wanted(),
            max_candidates=self.max_candidates,
            per_subject=self.per_subject,
            face=self.face,
        )


class SearchBody(SearchMembers):
    """A search as JSON: with exactly one of ``probe`` and ``probe_id``."""

    probe: ImageBytes | None = None
    probe_id: Id | None = None

    @model_validator(mode="after")
    def _one_probe(self) -> Self:
        if (self.probe is None) == (self.probe_id is None):
            raise ValueError("give exactly one of probe and probe_id")
        return self

    def with_probe(self) -> SearchRequest:
        """As the rules have it, with the probe that it names or holds."""
        return self.to_domain(base64.b64decode(self.probe) if self.probe else None, self.probe_id)


class ComparisonRequest(_Request):
    """Two images to compare, one face of each."""

    image_a: ImageBytes
    image_b: ImageBytes
    face: Literal["only", "largest"] | FaceIndex = "only"


class DetectionRequest(_Request):
    """An image to find faces in."""

    image: ImageBytes


def image_bytes(text: Any) -> bytes:
    """The bytes of a member that has been validated as ``ImageBytes``."""
    return base64.b64decode(str(text))
