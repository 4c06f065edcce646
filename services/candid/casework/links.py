"""Links to candidates' photos: made anew whenever an answer is shown, short-lived, and each issue told to the caller's log."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from candid import storage
from candid.gallery.photos import PhotoKey
from candid.tables import timestamp


def with_photo_links(answer: dict[str, Any], bucket: str, issued: Callable[[str, str, str], None]) -> dict[str, Any]:
    """``answer`` with ``photo_url`` and ``photo_url_expires_at`` in each candidate.

    ``issued`` is told the search's, booking's and photo's id of each link.
    """
    shown = copy.deepcopy(answer)
    for result in shown["results"]:
        for candidate in result["candidates"]:
            where = PhotoKey(
                candidate["agency"], candidate["collection"], candidate["booking_id"], candidate["photo_id"]
            )
            url, expires_at = storage.view_link(bucket, str(where), candidate.get("photo_version"))
            candidate |= {"photo_url": url, "photo_url_expires_at": timestamp(expires_at)}
            issued(shown["search_id"], where.booking_id, where.photo_id)
    return shown
