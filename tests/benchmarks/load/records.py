"""Cases that searches are made under, and how many of those are stored."""

from __future__ import annotations

import uuid

from candid.cli.api import Api


def case_of(api: Api) -> str:
    """An open case."""
    return api.open_case(f"LOAD-{uuid.uuid4().hex[:8]}", "criminal_investigation", "a benchmark").case_id


def on_record(api: Api, case_id: str) -> int:
    """How many searches of a case are stored."""
    found, cursor = 0, None
    while True:
        query = {"case_id": case_id, "limit": 100, "cursor": cursor}
        page = api.client.call("GET", "/v1/searches", query=query)
        found += len(page["searches"])
        if not (cursor := page.get("next_cursor")):
            return found
