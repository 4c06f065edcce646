"""The API's answers, typed, as ``infra/api/openapi.yaml`` has them. Members that are new here are kept, not refused.

Only what the command line looks at is named; ``--json`` shows an answer as it came.
"""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """Base of all."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def as_json(self) -> dict[str, Any]:
        """As it came."""
        return self.model_dump(mode="json", exclude_unset=True)


class Upload(Answer):
    """A presigned POST; ``max_bytes`` is the largest file that it takes."""

    url: str
    fields: dict[str, str]
    max_bytes: int


class PhotoUpload(Answer):
    """A photo and the link to upload it by; no link where it has arrived."""

    photo_id: str
    state: str
    upload: Upload | None = None


class BookingCreated(Answer):
    """A booking just registered; its photos in the order asked for."""

    booking_id: str
    photos: tuple[PhotoUpload, ...]


class BatchItem(Answer):
    """One booking of a batch: registered, or why not."""

    status: int
    booking: BookingCreated | None = None
    problem: dict[str, Any] = Field(default_factory=dict)


class Batch(Answer):
    """The answers to a batch in the order sent."""

    results: tuple[BatchItem, ...]


class Photo(Answer):
    """Where a photo of a booking stands."""

    photo_id: str
    view: str
    state: str
    reason: str | None = None
    sentence: str | None = None
    updated_at: AwareDatetime | None = None


class Booking(Answer):
    """A booking; ``photos`` is empty in listings."""

    booking_id: str
    collection: str
    state: str
    booking_number: str | None = None
    subject_id: str | None = None
    booked_at: AwareDatetime | None = None
    disposition: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    photos: tuple[Photo, ...] = ()


class Page(Answer):
    """A page of a listing; ``next_cursor`` is None on the last."""

    next_cursor: str | None = None


class BookingPage(Page):
    """A page of bookings."""

    bookings: tuple[Booking, ...]


class Case(Answer):
    """A case."""

    case_id: str
    number: str
    purpose: str
    legal_basis: str
    officer: str
    agency: str
    state: str
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    closed_by: str | None = None
    credentials_revoked_at: AwareDatetime | None = None


class CasePage(Page):
    """A page of cases."""

    cases: tuple[Case, ...]


class Credentials(Answer):
    """What a Rekognition client signs with. No ``repr`` shows what is secret."""

    access_key_id: str = Field(alias="AccessKeyId")
    secret_access_key: str = Field(alias="SecretAccessKey", repr=False)
    session_token: str = Field(alias="SessionToken", repr=False)
    expires_at: AwareDatetime = Field(alias="Expiration")
    region: str
    endpoint: str

    def as_json(self) -> dict[str, Any]:
        """As it came."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class Revoked(Answer):
    """When credentials were taken back."""

    revoked_at: AwareDatetime


class Share(Answer):
    """That an agency may read another's collection; or might, until it was revoked."""

    share_id: str
    agency: str
    collection: str
    reader: str
    legal_basis: str
    state: str
    granted_at: AwareDatetime
    granted_by: str
    revoked_at: AwareDatetime | None = None
    revoked_by: str | None = None


class SharePage(Page):
    """A page of shares."""

    shares: tuple[Share, ...]


class Place(Answer):
    """Where the agency's Rekognition calls may read images."""

    place_id: str
    bucket: str
    prefix: str
    registered_at: AwareDatetime
    registered_by: str


class Places(Answer):
    """All of an agency's."""

    places: tuple[Place, ...]


class ProbeUpload(Answer):
    """A probe's id and the link to upload it by."""

    probe_id: str
    upload: Upload


class Score(Answer):
    """What a cosine means by the model's calibration; None where the model has none."""

    cosine: float
    similarity: float | None
    fmr: float | None
    extrapolated: bool = False


class FaceBox(Answer):
    """Pixels of the upright image."""

    index: int
    left: float
    top: float
    width: float
    height: float
    confidence: float


class Quality(Answer):
    """Of a face; ``score`` 0 to 100, angles in degrees."""

    score: float
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None


class QualityReason(Answer):
    """Why a face is not fit to be enrolled."""

    reason: str
    sentence: str


class Face(Answer):
    """A face of an image."""

    box: FaceBox
    quality: Quality
    reasons: tuple[QualityReason, ...] = ()


class Candidate(Answer):
    """A gallery face returned for a probe."""

    rank: int
    booking_id: str
    collection: str
    agency: str
    score: Score
    expected_false_candidates: float | None
    subject_id: str | None = None
    external_image_id: str | None = None
    booking_number: str | None = None
    booked_at: AwareDatetime | None = None
    photo_url: str | None = None
    photo_url_expires_at: AwareDatetime | None = None


class FaceResult(Answer):
    """One face of the probe and what the gallery held for it."""

    face: Face | None = None
    outcome: str
    candidates: tuple[Candidate, ...]


class Model(Answer):
    """The model that compared; ``calibration`` says where its rates were measured."""

    id: str
    calibration: str | None


class Threshold(Answer):
    """The threshold that was applied, in every unit that the model has."""

    cosine: float
    fmr: float | None = None
    similarity: float | None = None
    expected_false_candidates: float | None = None
    basis: str | None = None


class Search(Answer):
    """A search as stored."""

    search_id: str
    case_id: str
    agency: str
    gallery_agency: str
    collection: str
    searched_at: AwareDatetime
    model: Model
    exact: bool
    gallery_size: int
    threshold: Threshold
    results: tuple[FaceResult, ...]
    notice: str


class Comparison(Answer):
    """Two faces, one to one."""

    score: Score
    model: Model
    face_a: Face
    face_b: Face
    notice: str


class Detections(Answer):
    """The faces of an image of ``width`` × ``height`` pixels."""

    width: int
    height: int
    faces: tuple[Face, ...]
