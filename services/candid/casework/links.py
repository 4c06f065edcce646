"""Links to candidates' photos: made anew whenever an answer is shown, short-lived, and each issue told to the caller's log."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from candid import storage
from candid.gallery.photos import PhotoKey
from candid.gallery.sharing import Sharing
from candid.tables import timestamp

WITHHELD: Final = "The agency that has this photo does not share the collection with yours any more."


@dataclass(frozen=True, slots=True)
class PhotoLinks:
    """Links into the photos bucket, for who may read the collection when the answer is shown."""

    bucket: str
    sharing: Sharing

    def put_into(self, answer: dict[str, Any], issued: Callable[[str, str, str], None]) -> dict[str, Any]:
        """``answer`` with ``photo_url`` and ``photo_url_expires_at`` in each candidate, or with ``photo_withheld`` where another
        agency has revoked its share since.

        ``issued`` is told the search's, booking's and photo's id of each link. Raises ``DependencyUnavailable``.
        """

        @cache
        def may_read(agency: str, collection: str) -> bool:
            return self.sharing.may_read(answer["agency"], agency, collection)

        shown = copy.deepcopy(answer)
        for result in shown["results"]:
            for candidate in result["candidates"]:
                where = PhotoKey(
                    candidate["agency"], candidate["collection"], candidate["booking_id"], candidate["photo_id"]
                )
                if not may_read(where.agency, where.collection):
                    candidate["photo_withheld"] = WITHHELD
                    continue
                url, expires_at = storage.view_link(self.bucket, str(where), candidate.get("photo_version"))
                candidate |= {"photo_url": url, "photo_url_expires_at": timestamp(expires_at)}
                issued(shown["search_id"], where.booking_id, where.photo_id)
        return shown
