"""Searches: a probe, under a case, against the gallery; asked, answered and stored as one thing.

A probe whose quality is low is searched all the same, with its reasons in the answer: an officer with one bad still has no
better one, and must know what it is worth. Nothing is answered that is not stored: the answer is given after the write.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from botocore.exceptions import ClientError

from candid.access.principal import Principal
from candid.casework import answer
from candid.casework.cases import Cases
from candid.casework.policy import Policy
from candid.casework.probes import Probes
from candid.casework.stored import SUMMARY, StoredSearches, search_pk
from candid.errors import Conflict, ImageFormatUnsupported, InvalidRequest
from candid.faces import image as images
from candid.faces.detector import Detection
from candid.faces.engine import FaceEngine
from candid.faces.registry import ModelCard
from candid.faces.selection import probe_face
from candid.gallery import thresholds
from candid.gallery.catalog import Catalog
from candid.gallery.collections import DEFAULT_COLLECTION, Collections
from candid.gallery.fusion import fused, standing_faces
from candid.gallery.index import Filter, Partition, Template
from candid.gallery.indexes import Indexes, ModelIndex
from candid.gallery.outcome import Stopwatch
from candid.gallery.search import Found, GallerySearch, standing
from candid.gallery.sharing import Sharing
from candid.gallery.thresholds import Default, Threshold, Wanted
from candid.gallery.transaction import put_new, write_all
from candid.gallery.user_search import UserSearch
from candid.gallery.users import Users
from candid.idempotency import Claim
from candid.tables import cancelled_by, now, timestamp

MAX_ANSWER_BYTES: Final = 350_000
"""Of a stored answer: a DynamoDB item holds 400 KB."""

NO_SUCH_FACE: Final = "There is no such face in the collection. See ListFaces for those there are."
NO_FACE_OF_USER: Final = "The user has no face to search with. Let it have one (AssociateFaces)."
FaceChoice = Literal["only", "largest", "all"] | int


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What an officer asks. Exactly one of ``probe`` (bytes), ``probe_id``, and ``probe_face_id`` or ``probe_user_id`` (of a
    face or a user of the collection that is searched); ``pixels``: the probe's bytes as decoded already; ``users``: its users
    are searched, not its faces; ``max_candidates`` None: the policy's default; ``agency`` is whose collection is searched,
    None: the officer's own."""

    case_id: str
    probe_source: str
    probe: bytes | None = None
    pixels: images.Pixels | None = field(default=None, repr=False, compare=False)
    probe_id: str | None = None
    probe_face_id: str | None = None
    probe_user_id: str | None = None
    users: bool = False
    collection: str = DEFAULT_COLLECTION
    agency: str | None = None
    where: Filter = field(default_factory=Filter)
    threshold: Wanted = field(default_factory=Wanted)
    max_candidates: int | None = None
    per_subject: bool = True
    face: FaceChoice = "only"

    def __post_init__(self) -> None:
        """Refuse pixels of which no bytes are kept: what was searched is on record."""
        if self.pixels is not None and self.probe is None:
            raise ValueError("pixels are those of a probe")


@dataclass(frozen=True, slots=True)
class _Probe:
    """What is searched with: a template a face, each face as the answer shows it (None: one of the gallery), what the answer says
    of the probe, and its bytes."""

    templates: Sequence[Template]
    shown: Sequence[dict[str, Any] | None]
    told: Mapping[str, Any]
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Searches:
    """Making searches."""

    stored: StoredSearches
    cases: Cases
    probes: Probes
    policy: Policy
    indexes: Indexes
    catalog: Catalog
    sharing: Sharing

    def make(
        self, who: Principal, asked: SearchRequest, claim: Claim | None = None, watch: Stopwatch | None = None
    ) -> dict[str, Any]:
        """Search, store, and answer (without photo links). The same claim again is the same search. ``watch`` learns how long
        each part took: case, face, index, records, store.

        Raises ``NotFound`` (case, probe, collection), ``Conflict`` (case closed, collection being deleted),
        ``PolicyRefusal``, ``InvalidRequest``, ``PhotoRefused``."""
        if claim and (earlier := claim.earlier_result(self.stored.table)):
            return self.stored.expect(who.agency, earlier)
        watch = watch or Stopwatch()
        with watch.part("case"):
            case = self.cases.expect_open(who.agency, asked.case_id)
        # One look for the whole search: probe and gallery must be of one model, whatever is swapped meanwhile.
        current = self.indexes.serving()
        engine = current.engine
        most = self._allowed(asked, engine.card)
        gallery_agency = asked.agency or who.agency
        self.sharing.require(who.agency, gallery_agency, asked.collection)
        partition = Partition(gallery_agency, asked.collection)
        if asked.probe_face_id is not None:
            probe = self._gallery_face(current, partition, asked.probe_face_id)
        elif asked.probe_user_id is not None:
            probe = self._gallery_user(current, partition, asked.probe_user_id)
        else:
            data = asked.probe if asked.probe is not None else self.probes.read(who.agency, asked.probe_id or "")
            with watch.part("face"):
                probe = self._image(engine, data, asked)
        found = [self._find(current, partition, template, asked, most, watch) for template in probe.templates]
        # Looked at afterwards, so that a list that a deletion had begun to empty is never taken for the whole.
        # A name that is mistyped, too, is not to look like a gallery in which nobody was found.
        Collections(self.catalog.table).expect_there(gallery_agency, asked.collection)
        with watch.part("store"):
            told = (
                probe.told
                if probe.data is None or asked.probe_id
                else {"probe_id": self.probes.keep(who.agency, probe.data, _content_type(probe.data))}
            )
        body = {
            "search_id": str(uuid.uuid4()),
            "case_id": case.case_id,
            "agency": who.agency,
            "officer": who.user,
            "searched_at": timestamp(now()),
            "gallery_agency": gallery_agency,
            "collection": asked.collection,
            **told,
            "probe_source": asked.probe_source,
            "model": answer.model(engine.card),
            "exact": all(one.exact for one in found),
            "gallery_size": found[0].searched,
            "max_candidates": most,
            "per_subject": asked.per_subject,
            **({"users": True} if asked.users else {}),
            "threshold": answer.threshold(found[0].threshold),
            "results": [answer.result(engine, shown, one) for shown, one in zip(probe.shown, found, strict=True)],
            "notice": answer.notice(engine.card, users=asked.users),
            "policy": self.policy.mark,
        }
        with watch.part("store"):
            return self._store(who, body, None if probe.data is None else hashlib.sha256(probe.data).hexdigest(), claim)

    def _find(
        self,
        current: ModelIndex,
        partition: Partition,
        template: Template,
        asked: SearchRequest,
        most: int,
        watch: Stopwatch,
    ) -> Found:
        def threshold(searched: int) -> Threshold:
            return self._threshold(asked.threshold, searched, current.engine.card)

        if asked.users:
            return UserSearch(current.index, self.catalog, watch).find(
                partition, template, threshold=threshold, most=most, without=asked.probe_user_id
            )
        return GallerySearch(current.index, self.catalog, watch).find(
            [partition],
            template,
            threshold=threshold,
            most=most,
            per_subject=asked.per_subject,
            where=asked.where,
            without=asked.probe_face_id,
        )

    def _image(self, engine: FaceEngine, data: bytes, asked: SearchRequest) -> _Probe:
        pixels = images.decode(data) if asked.pixels is None else asked.pixels
        chosen = self._chosen(engine.detect(pixels), asked.face)
        return _Probe(
            list(engine.templates(pixels, [face for _, face in chosen])),
            [answer.face(engine, pixels, face, index) for index, face in chosen],
            {"probe_id": asked.probe_id},
            data,
        )

    def _gallery_face(self, current: ModelIndex, partition: Partition, face_id: str) -> _Probe:
        """A face of the gallery as probe, by the template that the index has of it. Raises ``InvalidRequest``, as Rekognition
        does."""
        held = current.index.get(partition, [uuid.UUID(face_id)])
        booking = self.catalog.get(partition.agency, held[0].booking_id) if held else None
        if standing(booking, partition.collection, face_id) is None:
            raise InvalidRequest(NO_SUCH_FACE)
        return _Probe([held[0].template], [None], {"probe_face_id": face_id}, None)

    def _gallery_user(self, current: ModelIndex, partition: Partition, user_id: str) -> _Probe:
        """A user of the gallery as probe, by the template of its faces. Raises ``NotFound``, and ``InvalidRequest`` for one that
        has no face."""
        user = Users(self.catalog.table).expect(partition.agency, partition.collection, user_id)
        entry = fused(user, current.index, standing_faces(self.catalog, [user])[user.entry_id])
        if entry is None:
            raise InvalidRequest(NO_FACE_OF_USER)
        return _Probe([entry.template], [None], {"probe_user_id": user_id}, None)

    def _allowed(self, asked: SearchRequest, card: ModelCard) -> int:
        """How many candidates may be listed. Raises for what the policy or the model does not allow, before any face is seen."""
        self.policy.require_source(asked.probe_source)
        if asked.face == "all":
            self.policy.require_all_faces()
        thresholds.check(asked.threshold, card.calibration)
        self.policy.require_threshold(thresholds.requested_fmr(asked.threshold))
        return self.policy.list_length(asked.max_candidates)

    def _threshold(self, wanted: Wanted, searched: int, card: ModelCard) -> Threshold:
        return thresholds.resolve(
            wanted,
            searched,
            default=Default(self.policy.default_fmr, self.policy.default_expected_false_candidates),
            loosest_fmr=self.policy.loosest_fmr,
            calibration=card.calibration,
        )

    def _chosen(self, faces: Sequence[Detection], choice: FaceChoice) -> list[tuple[int, Detection]]:
        if choice == "all":
            probe_face(faces, "largest")
            return list(enumerate(faces))
        face = probe_face(faces, choice)
        return [(next(i for i, one in enumerate(faces) if one is face), face)]

    def _store(
        self, who: Principal, body: dict[str, Any], probe_sha256: str | None, claim: Claim | None
    ) -> dict[str, Any]:
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
        if len(text.encode()) > MAX_ANSWER_BYTES:
            raise InvalidRequest("The answer is too long to be stored. Search fewer faces, or ask for a shorter list.")
        candidates = sum(len(result["candidates"]) for result in body["results"])
        item: dict[str, Any] = {
            "pk": search_pk(who.agency, body["search_id"]),
            "sk": "SEARCH",
            "answer": text,
            "candidates": candidates,
            # An upload link lives on after the search: this tells whether what lies there still is what was searched.
            "probe_sha256": probe_sha256,
            "agency_kind": f"{who.agency}#SEARCH",
            "agency_officer": f"{who.agency}#SEARCH#{who.user}",
            "agency_case": f"{who.agency}#{body['case_id']}",
            "at": f"{body['searched_at']}#{body['search_id']}",
            **{name: body[name] for name in SUMMARY if name in body},
        }
        writes: list[Any] = [
            self.cases.check_open(who.agency, body["case_id"]),
            put_new(self.stored.table, item),
        ]
        if claim:
            writes.append(claim.write(self.stored.table, body["search_id"]))
        try:
            write_all(writes)
        except ClientError as error:
            failed = cancelled_by(error)
            if not any(failed):
                raise
            if claim and (earlier := claim.earlier_result(self.stored.table)):
                return self.stored.expect(who.agency, earlier)
            raise Conflict(
                "The case was closed while the search was made, so nothing was stored. Open another case to search under."
            ) from None
        return body


def _content_type(data: bytes) -> str:
    found = images.content_type(data)
    if found is None:
        raise ImageFormatUnsupported("The file is not an image that Candid reads. Export it as JPEG or PNG.")
    return found
