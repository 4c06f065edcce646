"""Saying what a function did in numbers, and that it failed as nobody foresaw: what and where, and nothing that was sent."""

from __future__ import annotations

from traceback import extract_tb

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from botocore.exceptions import ClientError

from candid.aws import error_code
from candid.gallery.outcome import Stopwatch
from candid.settings import SettingsError


def report(error: Exception, logger: Logger, metrics: Metrics) -> None:
    """Log an unforeseen failure. Its text can hold what the caller sent: its type and the places it passed are enough."""
    places = [f"{frame.filename.rsplit('/services/')[-1]}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    about: dict[str, object] = {"error": type(error).__name__, "places": places}
    if isinstance(error, ClientError):
        about["code"] = error_code(error)
    if isinstance(error, SettingsError):
        about["sentence"] = str(error)  # Names variables, never a value.
    logger.error("unforeseen failure", extra=about)
    metrics.add_metric("UnforeseenFailures", MetricUnit.Count, 1)


def searched(metrics: Metrics, candidates: int, watch: Stopwatch) -> None:
    """Count a search that is stored, with how many candidates it found and how long each part of it took."""
    metrics.add_metric("Searches", MetricUnit.Count, 1)
    metrics.add_metric("CandidatesPerSearch", MetricUnit.Count, candidates)
    for part, milliseconds in watch.milliseconds.items():
        metrics.add_metric(f"Search{part.capitalize()}Milliseconds", MetricUnit.Milliseconds, round(milliseconds, 1))
