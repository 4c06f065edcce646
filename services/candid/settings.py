"""What a function is told by its environment: read once, typed, at the edge of a process. Nothing else looks at it.

Each class names its variables by its fields (``gallery_table`` is ``GALLERY_TABLE``); ``template.yaml`` sets them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints


class SettingsError(Exception):
    """A variable is missing or not of its type. The sentence names every one that is wrong, never a value."""


@dataclass(frozen=True, slots=True)
class AuthorizerSettings:
    """Who issues tokens, for whom, and where the issuer's keys are published; ``usage_key_prefix`` and an agency's name are the
    value of its API key, by which the gateway's usage plan counts."""

    token_issuer: str
    token_jwks_url: str
    usage_key_prefix: str
    token_audience: str = "candid"  # noqa: S105


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The table that counts requests, and how many a user and an agency may make in an hour."""

    limits_table: str
    user_faces_per_hour: int
    agency_faces_per_hour: int
    user_records_per_hour: int
    agency_records_per_hour: int


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Where bookings and photos are kept."""

    gallery_table: str
    photos_bucket: str


@dataclass(frozen=True, slots=True)
class CaseworkSettings:
    """Where cases, probes and stored searches are kept; the photos that stored searches link to, and who may see them; the key of
    the credentials that Rekognition clients sign with, the region that they sign for, and where they are to go."""

    casework_table: str
    gallery_table: str
    photos_bucket: str
    probes_bucket: str
    credentials_key_id: str
    rekognition_endpoint: str
    aws_region: str


@dataclass(frozen=True, slots=True)
class OpenSearchSettings:
    """Where OpenSearch is and how it lets us in. ``opensearch_endpoint`` is https://… (http on the loopback interface alone);
    ``opensearch_prefix`` begins the name of every index; ``opensearch_auth`` is sigv4, basic or none (empty: sigv4 over https);
    basic takes its user and password from the secret ``opensearch_secret_arn``; ``opensearch_ca_file`` is a private CA."""

    opensearch_endpoint: str = ""
    opensearch_prefix: str = "candid"
    opensearch_auth: str = ""
    opensearch_secret_arn: str = ""
    opensearch_ca_file: str = ""


@dataclass(frozen=True, slots=True)
class FaceSettings(OpenSearchSettings):
    """What a function that sees faces works with. ``embedded_index_path`` holds for processes that share a disk (a
    laptop); on AWS ``opensearch_endpoint`` names the index."""

    candid_models: Path = dataclasses.field(kw_only=True)
    model: str = dataclasses.field(default="sface", kw_only=True)
    embedded_index_path: str = dataclasses.field(default="", kw_only=True)

    def opensearch(self) -> OpenSearchSettings:
        """The part that is OpenSearch's."""
        return OpenSearchSettings(*(getattr(self, one.name) for one in dataclasses.fields(OpenSearchSettings)))


@dataclass(frozen=True, slots=True)
class EmbedSettings(FaceSettings):
    """Enrolment: photos in, templates into the index, events out. ``photos_receives``: so often the queue hands a message out."""

    gallery_table: str = dataclasses.field(kw_only=True)
    photos_bucket: str = dataclasses.field(kw_only=True)
    photos_queue_url: str = dataclasses.field(kw_only=True)
    photos_receives: int = dataclasses.field(kw_only=True)
    photos_dead_letters_url: str = dataclasses.field(kw_only=True)
    event_bus: str = dataclasses.field(kw_only=True)


@dataclass(frozen=True, slots=True)
class SearchSettings(FaceSettings):
    """Search: a probe in, candidates out, both stored."""

    gallery_table: str = dataclasses.field(kw_only=True)
    casework_table: str = dataclasses.field(kw_only=True)
    photos_bucket: str = dataclasses.field(kw_only=True)
    probes_bucket: str = dataclasses.field(kw_only=True)


@dataclass(frozen=True, slots=True)
class RekognitionSettings(SearchSettings):
    """Search by Amazon Rekognition's API: the key of the credentials that its clients sign with, and the region they sign for."""

    credentials_key_id: str = dataclasses.field(kw_only=True)
    aws_region: str = dataclasses.field(kw_only=True)


@dataclass(frozen=True, slots=True)
class IndexSettings(FaceSettings):
    """Upkeep of the index: made, filled, swapped, compared with table and bucket."""

    gallery_table: str = dataclasses.field(kw_only=True)
    photos_bucket: str = dataclasses.field(kw_only=True)
    photos_queue_url: str = dataclasses.field(kw_only=True)


@dataclass(frozen=True, slots=True)
class RedriveSettings:
    """Where dead letters wait, by the way that they were on, and where they are sent again."""

    gallery_table: str
    photos_queue_url: str
    event_bus: str
    photos_dead_letters_url: str
    photo_events_dead_letters_url: str
    changes_dead_letters_url: str
    events_dead_letters_url: str


@dataclass(frozen=True, slots=True)
class RolesSettings(OpenSearchSettings):
    """Whom OpenSearch is to let in: the functions' own roles in IAM, by their ARNs."""

    search_role_arn: str = dataclasses.field(kw_only=True)
    rekognition_role_arn: str = dataclasses.field(kw_only=True)
    embed_role_arn: str = dataclasses.field(kw_only=True)
    index_role_arn: str = dataclasses.field(kw_only=True)


S = TypeVar("S")


def read(settings: type[S], environ: Mapping[str, str]) -> S:
    """Fill ``settings`` from ``environ``. Raises ``SettingsError`` naming every variable that is missing or malformed."""
    types = get_type_hints(settings)
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        variable = field.name.upper()
        text = environ.get(variable, "")
        if not text:
            if field.default is dataclasses.MISSING:
                wrong.append(f"{variable} is not set")
            continue
        try:
            values[field.name] = types[field.name](text)
        except ValueError:
            wrong.append(f"{variable} is not a {types[field.name].__name__}")
    if wrong:
        raise SettingsError(f"This function can't start: {'; '.join(wrong)}. Set these variables of its environment.")
    return settings(**values)
