"""Stored searches: reading what was searched. Needs no model, so the function that shows it sees no face and stays small."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from candid import aws
from candid.aws import dependency
from candid.errors import NotFound
from candid.listing import FIRST, LAST, Listing
from candid.tables import Item, key, timestamp

NO_SUCH_SEARCH: Final = "There is no such search, or it is not one that you may see. Look it up with GET /v1/searches."
SUMMARY: Final = (
    *("search_id", "case_id", "officer", "searched_at"),
    *("gallery_agency", "collection", "probe_source", "candidates"),
)
"""What a listing shows of a search: members of its item."""


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of summaries, newest first; ``next_key`` continues it."""

    searches: tuple[dict[str, Any], ...]
    next_key: Item | None


@dataclass(frozen=True, slots=True)
class StoredSearches:
    """Reading what was searched. Needs no model, so the function that shows it sees no face."""

    table: str

    def expect(self, agency: str, search_id: str) -> dict[str, Any]:
        """The answer as it was given. Raises ``NotFound`` for one that is not there or another agency's."""
        with dependency("the casework table"):
            found = aws.dynamodb().get_item(
                TableName=self.table, Key=key(search_pk(agency, search_id), "SEARCH"), ConsistentRead=True
            )
        if "Item" not in found:
            raise NotFound(NO_SUCH_SEARCH)
        stored: dict[str, Any] = json.loads(found["Item"]["answer"]["S"])
        return stored

    def list(
        self,
        agency: str,
        *,
        case_id: str | None = None,
        officer: str | None = None,
        searched_from: datetime | None = None,
        searched_before: datetime | None = None,
        limit: int = 50,
        start: Item | None = None,
    ) -> SearchPage:
        """Summaries of the agency's searches, newest first."""
        if case_id:
            index, name, value = "by-case", "agency_case", f"{agency}#{case_id}"
        elif officer:
            index, name, value = "by-officer", "agency_officer", f"{agency}#SEARCH#{officer}"
        else:
            index, name, value = "by-agency", "agency_kind", f"{agency}#SEARCH"
        items, next_key = Listing(
            table=self.table,
            index=index,
            hash_name=name,
            hash_value=value,
            range_name="at",
            low=timestamp(searched_from) if searched_from else FIRST,
            high=timestamp(searched_before) if searched_before else LAST,
            equals={"officer": officer} if case_id and officer else {},
        ).page(limit, start)
        return SearchPage(tuple({name: item[name] for name in SUMMARY if name in item} for item in items), next_key)


def search_pk(agency: str, search_id: str) -> str:
    """The partition of a stored search."""
    return f"S#{agency}#{search_id}"
