"""Batches of the photos queue and of the gallery table's stream. No rule lives here.

What is logged: opaque ids, kinds, reason words, milliseconds, and of failures their type and the places passed. Never a key of
unknown form, a message, or the text of an exception that is not Candid's own.
"""

from __future__ import annotations

from contextlib import suppress
from time import time as now
from traceback import extract_tb
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.correlation import correlation_id, follow, following
from candid.errors import CandidError, DependencyUnavailable
from candid.events import MalformedEvent, item_hint, object_hint
from candid.gallery.collections import collection_ref
from candid.gallery.dead_letters.aside import reason
from candid.gallery.items import booking_ref
from candid.gallery.outcome import Kind, Outcome
from candid.gallery.photos import PhotoKey
from candid.gallery.progress import PhotoBusy
from candid.gallery.users import UserBusy, user_ref
from candid.settings import SettingsError
from embed.wiring import aside, work

LEAST_SECONDS = 20.0
"""A photo that would begin with less time left than this goes back to the queue: its last writes could be cut off."""

SOON_SECONDS = 2

BUSY_SECONDS = 70
"""Then a photo's other worker has done its work, or its lease is over: this function's time-out and the lease's margin."""

logger = Logger(service="embed")
tracer = Tracer(service="embed")
metrics = Metrics(namespace="Candid", service="embed")

_COUNTED = {
    Kind.ENROLLED: "PhotosEnrolled",
    Kind.REMOVED: "PhotosRemoved",
    Kind.UNCHANGED: "PhotosUnchanged",
    Kind.ERASED: "Erasures",
    Kind.FOLLOWED: "ChangesFollowed",
}


class TooLittleTime(DependencyUnavailable):
    """The invocation ends too soon to begin another photo."""


def on_message(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """One S3 event: look at the photo. What raises comes again; the last time it goes to the dead letters, with the reason."""
    with following(None):
        _look(record, lambda_context)


def _look(record: SQSRecord, lambda_context: LambdaContext) -> None:
    try:
        hint = object_hint(record.body)
        if hint is None or hint.bucket != work().bucket:
            logger.warning("event of another kind or bucket ignored", extra={"message_id": record.message_id})
            metrics.add_metric("EventsIgnored", MetricUnit.Count, 1)
            return
        follow(hint.event_id)
        outcome = work().enrolment.reconcile_key(hint.key, _deadline(lambda_context), hint.sequencer)
    except Exception as error:
        _report_failure(error, message_id=record.message_id)
        if _is_put_aside(record, error):
            return
        if isinstance(error, TooLittleTime | PhotoBusy | UserBusy):
            _bring_again(record.receipt_handle, SOON_SECONDS if isinstance(error, TooLittleTime) else BUSY_SECONDS)
        raise
    place = PhotoKey.parse(hint.key)
    _report("photo", outcome, **({"booking_id": place.booking_id, "photo_id": place.photo_id} if place else {}))


def on_change(record: DynamoDBRecord, lambda_context: LambdaContext) -> None:
    """One record of the stream: let index and bucket follow the booking's change. What raises comes again."""
    with following(record.event_id):
        _follow_up(record, lambda_context)


def _follow_up(record: DynamoDBRecord, lambda_context: LambdaContext) -> None:
    try:
        hint = item_hint(record.raw_event)
        pk = hint.pk if hint.sk == "CHANGE" else ""
        # The names of collections and users are an agency's own words: neither is logged.
        if collection := collection_ref(pk):
            _report("collection", work().dissolution.follow(*collection, _deadline(lambda_context)))
            return
        if user := user_ref(pk):
            _report("user", work().fusion.follow(*user, _deadline(lambda_context)))
            return
        booking = booking_ref(pk)
        if booking is None:
            metrics.add_metric("EventsIgnored", MetricUnit.Count, 1)
            return
        outcome = work().changes.follow(*booking, _deadline(lambda_context))
    except Exception as error:
        _report_failure(error, event_id=record.event_id)
        raise
    _report("change", outcome, booking_id=booking[1])


def _deadline(context: LambdaContext) -> float:
    left = context.get_remaining_time_in_millis() / 1000
    if left < LEAST_SECONDS:
        raise TooLittleTime("There is too little time left for another photo; it comes again.")
    return now() + left


def _is_put_aside(record: SQSRecord, error: Exception) -> bool:
    """Whether the queue would not bring this message again, and it lies with the dead letters now, with the reason."""
    with (
        aws.to_the_end(),
        suppress(CandidError, SettingsError, ClientError),
    ):  # Then the queue puts it aside itself, without one.
        if aside().is_last(int(record.attributes.approximate_receive_count)):
            aside().put(record.body, error)
            logger.error("put aside", extra={"message_id": record.message_id, "reason": reason(error)})
            metrics.add_metric("PhotosPutAside", MetricUnit.Count, 1)
            return True
    return False


def _bring_again(receipt_handle: str, seconds: int) -> None:
    """Nothing is wrong with this photo, so it need not wait for the queue's visibility; if this fails, it just comes later."""
    with aws.to_the_end(), suppress(DependencyUnavailable, ClientError), dependency("the photos queue"):
        aws.sqs().change_message_visibility(
            QueueUrl=work().queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )


def _report(what: str, outcome: Outcome, **ids: str) -> None:
    spent = {part: round(milliseconds, 1) for part, milliseconds in outcome.milliseconds.items()}
    about: dict[str, object] = {"kind": outcome.kind.value, "correlation_id": correlation_id(), **ids}
    if outcome.reason:
        about["reason"] = outcome.reason
    if spent:
        about["milliseconds"] = spent
    logger.info(what, extra=about)
    if outcome.kind is Kind.REJECTED:
        with single_metric("PhotosRejected", MetricUnit.Count, 1, namespace="Candid") as rejected:
            rejected.add_dimension("service", "embed")
            rejected.add_dimension("reason", str(outcome.reason))
    elif name := _COUNTED.get(outcome.kind):
        metrics.add_metric(name, MetricUnit.Count, 1)
    if outcome.kind in {Kind.ENROLLED, Kind.REJECTED}:
        for part, milliseconds in spent.items():
            metrics.add_metric(f"Enrol{part.capitalize()}Milliseconds", MetricUnit.Milliseconds, milliseconds)


def _report_failure(error: Exception, **ids: str | None) -> None:
    places = [f"{frame.filename.rsplit('/services/')[-1]}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    about: dict[str, object] = {
        "error": type(error).__name__,
        "places": places,
        "correlation_id": correlation_id(),
        **ids,
    }
    if isinstance(error, CandidError | SettingsError):
        about["sentence"] = str(error)  # Candid's own; a library's text can hold what was in the photo or the message.
    if isinstance(error, ClientError):
        about["code"] = error_code(error)
    logger.error("failed; it comes again", extra=about)
    malformed = isinstance(error, MalformedEvent)
    metrics.add_metric("EventsMalformed" if malformed else "Retries", MetricUnit.Count, 1)


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Work through one batch; answer with the items that are to come again."""
    logger.clear_state()
    logger.append_keys(request_id=context.aws_request_id)
    records = event.get("Records") or [{}]
    metrics.add_metric("Records", MetricUnit.Count, len(records))
    from_stream = records[0].get("eventSource") == "aws:dynamodb"
    # A processor keeps a batch's results: one an invocation, and a batch that fails as a whole is no failure of the function.
    processor = BatchProcessor(
        event_type=EventType.DynamoDBStreams if from_stream else EventType.SQS, raise_on_entire_batch_failure=False
    )
    with aws.within(context.get_remaining_time_in_millis() / 1000):
        return process_partial_response(
            event=event, record_handler=on_change if from_stream else on_message, processor=processor, context=context
        )
