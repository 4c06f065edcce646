"""What the casework routes take, as ``infra/api/openapi.yaml`` says."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from candid.casework.cases import CaseState, NewCase
from candid.casework.credentials import LEAST_SECONDS, MOST_SECONDS
from candid.gallery.fields import Label
from candid.http.kinds import ContentType, Cursor, Id, LegalBasis, Limit
from candid.moments import Moment, in_order


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CaseRequest(_Request):
    """A case to open."""

    number: Label
    purpose: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    legal_basis: LegalBasis

    def to_domain(self) -> NewCase:
        """As the rules have it."""
        return NewCase(self.number, self.purpose, self.legal_basis)


Duration = Annotated[int, Field(ge=LEAST_SECONDS, le=MOST_SECONDS, strict=True)]


class CaseCredentialsRequest(_Request):
    """Credentials to search under a case with probes from one source."""

    probe_source: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    duration_seconds: Duration = 3_600


class RecordsCredentialsRequest(_Request):
    """Credentials to index faces."""

    duration_seconds: Duration = 3_600


class ProbeRequest(_Request):
    """A probe that will be uploaded."""

    content_type: ContentType


class CaseQuery(_Request):
    """Filters of a listing of cases; query parameters are text."""

    state: CaseState | None = None
    officer: Label | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class SearchQuery(_Request):
    """Filters of a listing of searches."""

    case_id: Id | None = None
    officer: Label | None = None
    searched_from: Moment | None = None
    searched_before: Moment | None = None
    limit: Limit = 50
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not in_order(self.searched_from, self.searched_before):
            raise ValueError("searched_from must lie before searched_before")
        return self
