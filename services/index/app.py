"""Operations on the index. No rule lives here.

An invocation does one step, and answers what it found with the cursor of the next; a refusal is an answer as well, with the
problem that the HTTP API would give. What is logged: the operation, counts, sentences of Candid's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from aws_lambda_powertools import Logger, Tracer
from aws_lambda_powertools.utilities.typing import LambdaContext

from candid.errors import Conflict, IndexDamaged
from candid.faces.engine import load_engine
from candid.faces.registry import model_card
from candid.gallery.exact.file import replace_file
from candid.gallery.index import Partition
from candid.gallery.indexes import embedded_file, open_embedded
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Generation
from candid.gallery.opensearch.lifecycle import Lifecycle, Size
from candid.gallery.opensearch.moving import Moving
from candid.gallery.opensearch.purging import Purging
from candid.gallery.opensearch.survey import survey
from candid.gallery.upkeep.steps import Budget
from candid.gallery.upkeep.verification import Verification
from candid.http.invoked import Answer, answered
from index import requests
from index.wiring import indexes, work

logger = Logger(service="index")
tracer = Tracer(service="index")


@singledispatch
def carry_out(asked: Any, budget: Budget) -> Answer:
    """One step of what is asked; each kind of request has its own."""
    raise TypeError(type(asked).__name__)


@carry_out.register
def _status(asked: requests.Status, budget: Budget) -> Answer:
    waiting = work().hints.waiting()
    if (lifecycle := work().lifecycle) is not None:
        told = survey(lifecycle.client, lifecycle.layouts)
        return {"done": True, "store": "opensearch", "prefix": lifecycle.names.prefix, "waiting": waiting, **told}
    card = model_card(work().told.model)
    path = embedded_file(work().told, card)
    templates = None
    health = "green"
    try:
        index = open_embedded(work().told, card)
        templates, after = 0, None
        while True:
            page = index.scan(after, 10_000)
            templates, after = templates + len(page.labels), page.after
            if after is None:
                break
        index.close()
    except IndexDamaged:
        health = "red"
    one = {
        "index": path.name,
        "role": "serving",
        "model": work().told.model,
        "dimension": card.dimension,
        "templates": templates,
        "deleted": 0,
        "bytes": path.stat().st_size if path.is_file() else 0,
        "own": [],
    }
    return {"done": True, "store": "embedded", "waiting": waiting, "health": health, "indexes": [one]}


@carry_out.register
def _create(asked: requests.Create, budget: Budget) -> Answer:
    told = work().told
    card = model_card(told.model)
    if work().lifecycle is None:
        open_embedded(told, card).close()
        return {"done": True, "index": embedded_file(told, card).name, "model": told.model, "made": False}
    generation, made = _opensearch().create(told.model, card, Size(asked.shards, asked.replicas))
    return {"done": True, "index": generation.name, "model": generation.model, "made": made}


@carry_out.register
def _reembed(asked: requests.Reembed, budget: Budget) -> Answer:
    lifecycle = _opensearch()
    cursor = dict(asked.cursor or {})
    if not cursor:
        # Embed runs from the same image: what can't be loaded here could not be there, photo by photo.
        engine = load_engine(asked.model, work().told.candid_models)
        engine.load()
        size = Size(asked.shards, asked.replicas) if asked.shards else None
        generation, made = lifecycle.stand_by(asked.model, engine.card, size)
        about = {"index": generation.name, "made": made, "calibrated": engine.card.calibration is not None}
        cursor = {"about": about, "walk": None}
    standby = _standby(lifecycle)
    if standby.name != cursor["about"]["index"]:
        raise Conflict("Another index stands by than when this began. `candid index status` shows it; begin again.")
    step = work().filling.step(_index(lifecycle, standby), cursor["walk"], budget)
    return _answer({"model": asked.model, **cursor["about"], **step.told}, cursor, step.cursor)


@carry_out.register
def _swap(asked: requests.Swap, budget: Budget) -> Answer:
    lifecycle = _opensearch()
    layout = lifecycle.layouts.fresh()
    if layout.serving == asked.index:
        return _swapped(lifecycle, {})
    standby = _standby(lifecycle)
    if standby.name != asked.index:
        raise Conflict("This index does not stand by. `candid index status` shows which does.")
    cursor = dict(asked.cursor or {"walk": None})
    checked: Mapping[str, Any] = {}
    if not asked.unchecked:
        step = work().filling.step(_index(lifecycle, standby), cursor["walk"], budget, ask=False)
        if step.cursor is not None:
            return _answer({"swapped": False, **step.told}, cursor, step.cursor)
        checked = step.told
        if not checked["complete"]:
            raise Conflict(
                f"The index that stands by lacks {checked['absent']:,} of {checked['photos']:,} photos and the templates of "
                f"{checked['users_absent']:,} users, or has them with other labels; searches would miss people. "
                "`candid index reembed` goes on filling it."
            )
    lifecycle.swap(asked.index)
    return _swapped(lifecycle, checked)


def _swapped(lifecycle: Lifecycle, checked: Mapping[str, Any]) -> Answer:
    layout = lifecycle.layouts.fresh()
    serving = layout.the_serving()
    standby = layout.generations.get(layout.standby or "")
    roles = {"serving": serving.name, "model": serving.model}
    if standby is not None:
        roles |= {"standby": standby.name, "standby_model": standby.model}
    return {"done": True, "swapped": True, **checked, **roles}


@carry_out.register
def _drop(asked: requests.Drop, budget: Budget) -> Answer:
    _opensearch().drop(asked.index)
    return {"done": True, "index": asked.index}


@carry_out.register
def _verify(asked: requests.Verify, budget: Budget) -> Answer:
    rebuilt = False
    if work().lifecycle is None and asked.cursor is None:
        rebuilt = _check_embedded(repair=asked.repair)
    verification = Verification(work().records, work().hints, work().strays, indexes())
    cursor = dict(asked.cursor or {"rebuilt": rebuilt, "walk": None})
    step = verification.step(cursor["walk"], budget, repair=asked.repair)
    return _answer({"rebuilt": cursor["rebuilt"], **step.told}, cursor, step.cursor)


@carry_out.register
def _purge(asked: requests.Purge, budget: Budget) -> Answer:
    if work().lifecycle is None:
        index = open_embedded(work().told, model_card(work().told.model))
        try:
            index.purge()
        finally:
            index.close()
        return {"done": True, "purged": True, "before": {}, "after": {}}
    lifecycle = _opensearch()
    return Purging(lifecycle.client, lifecycle.layouts).step(asked.cursor, budget).as_json()


@carry_out.register
def _own(asked: requests.Own, budget: Budget) -> Answer:
    partition = Partition(asked.agency, asked.collection)
    moving = Moving(_opensearch())
    return moving.step(partition, Size(asked.shards, asked.replicas), asked.cursor, budget).as_json()


def _check_embedded(*, repair: bool) -> bool:
    """Look at the whole embedded file; with ``repair`` begin a damaged one anew, which the walks then fill."""
    card = model_card(work().told.model)
    try:
        index = open_embedded(work().told, card)
        try:
            index.check()
        finally:
            index.close()
    except IndexDamaged:
        if not repair:
            raise
        replace_file(embedded_file(work().told, card))
        open_embedded(work().told, card).close()
        return True
    return False


def _opensearch() -> Lifecycle:
    lifecycle = work().lifecycle
    if lifecycle is None:
        raise Conflict(
            "The index of this deployment is an embedded file, which belongs to one model. Use OpenSearch for re-embedding, "
            "swapping and moving (`make run INDEX=opensearch`)."
        )
    return lifecycle


def _standby(lifecycle: Lifecycle) -> Generation:
    layout = lifecycle.layouts.fresh()
    layout.the_serving()
    if layout.standby is None:
        raise Conflict("No index stands by. `candid index reembed` makes and fills one.")
    return layout.generation(layout.standby)


def _index(lifecycle: Lifecycle, generation: Generation) -> OpenSearchIndex:
    return OpenSearchIndex(lifecycle.client, lifecycle.layouts, generation.name, generation.dimension)


def _answer(told: Mapping[str, Any], cursor: Mapping[str, Any], walk: Mapping[str, Any] | None) -> Answer:
    return {**told, "done": walk is None, **({} if walk is None else {"cursor": {**cursor, "walk": walk}})}


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
