"""Dead letters, for operators. No rule lives here.

An invocation does one step, and answers what it did with the cursor of the next; a refusal is an answer as well, with the
problem that the HTTP API would give. What is logged: the operation and counts.
"""

from __future__ import annotations

import os
from functools import cache, singledispatch
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid import settings
from candid.gallery.catalog import Catalog
from candid.gallery.dead_letters.dropped import Dropped
from candid.gallery.dead_letters.letters import Way
from candid.gallery.dead_letters.queues import Queues
from candid.gallery.dead_letters.redriving import Redriving
from candid.gallery.hints import Hints
from candid.gallery.upkeep.steps import Budget
from candid.http.invoked import Answer, answered
from candid.settings import RedriveSettings
from redrive import requests

logger = Logger(service="redrive")
tracer = Tracer(service="redrive")


@cache
def work() -> Redriving:
    """The process's own, from its environment. Raises ``SettingsError``."""
    told = settings.read(RedriveSettings, os.environ)
    urls = {
        Way.PHOTOS: told.photos_dead_letters_url,
        Way.PHOTO_EVENTS: told.photo_events_dead_letters_url,
        Way.CHANGES: told.changes_dead_letters_url,
        Way.EVENTS: told.events_dead_letters_url,
    }
    catalog = Catalog(told.gallery_table)
    # A letter's event is sent as it was, so no bucket is named here.
    hints = Hints(told.photos_queue_url, "")
    return Redriving(Queues(urls), hints, catalog, Dropped(told.gallery_table), told.event_bus)


@singledispatch
def carry_out(asked: Any, budget: Budget) -> Answer:
    """One step of what is asked; each kind of request has its own."""
    raise TypeError(type(asked).__name__)


@carry_out.register
def _list(asked: requests.List, budget: Budget) -> Answer:
    return {"done": True, **work().list(_ways(asked.way), budget)}


@carry_out.register
def _dropped(asked: requests.Dropped, budget: Budget) -> Answer:
    return {"done": True, "letters": work().dropped.all()}


@carry_out.register
def _show(asked: requests.Show, budget: Budget) -> Answer:
    return {"done": True, "letter": work().show(asked.letter, budget)}


@carry_out.register
def _start(asked: requests.Start, budget: Budget) -> Answer:
    return work().start(_ways(asked.way), asked.letters, asked.cursor, budget).as_json()


@carry_out.register
def _drop(asked: requests.Drop, budget: Budget) -> Answer:
    return work().drop(asked.letters, asked.reason, asked.cursor, budget).as_json()


def _ways(one: Way | None) -> list[Way]:
    return list(Way) if one is None else [one]


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
def handler(event: Any, context: LambdaContext) -> Answer:
    """One step. The answer has ``done``, and ``cursor`` where it is not; or ``problem`` (RFC 9457) alone."""
    logger.clear_state()
    logger.append_keys(request_id=context.aws_request_id)
    return answered(lambda: _step(event, context), logger, context.aws_request_id)


def _step(event: Any, context: LambdaContext) -> Answer:
    asked = requests.read(event)
    logger.append_keys(operation=asked.operation)
    return carry_out(asked, Budget.within(context.get_remaining_time_in_millis() / 1000))
