"""``candid import``: a folder or a manifest of booking photos into the gallery."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from candid.access.principal import Role
from candid.cli import config, moments
from candid.cli.api import Api
from candid.cli.client import STEADY, Client, until
from candid.cli.importing.folder import Folder
from candid.cli.importing.manifest import Manifest
from candid.cli.importing.progress import display
from candid.cli.importing.rows import Source
from candid.cli.importing.run import Import, Plan, default_workers
from candid.cli.importing.tally import Tally, open_report
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.rendering import imports as rendering

_RESUME = "Run the same command again to go on: what is there is not uploaded twice."


def command(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|MANIFEST.csv", help="A folder of photos, or a CSV file that lists them.")
    ],
    collection: Annotated[
        str, typer.Option(metavar="NAME", help="The gallery, where the manifest names none.")
    ] = "bookings",
    booked_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="For a folder: when all were booked. By default each file's modification time.",
            show_default=False,
        ),
    ] = None,
    timezone: Annotated[
        str, typer.Option(metavar="ZONE", help="Of times without an offset, such as America/Los_Angeles.")
    ] = "UTC",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End when all is uploaded, without waiting for enrolment.")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Stop waiting when no photo settles for so long.")
    ] = 480.0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Uploads at a time; 4 a core, 16 at most, if not given.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write what became of each photo.", show_default=False)
    ] = None,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Import booking photos, then wait until each is enrolled or rejected with a reason.

    A manifest's columns: path (relative to the manifest), booking_number, subject_id, booked_at; optional view (frontal,
    left_profile, right_profile, other) and collection; all others are your agency's own fields. Rows with one booking number are
    photos of one booking.

    In a folder without a manifest the file's name is the booking number, and the subject is the name of the folder that the photo
    lies in (at the top: the file's name again).

    Ctrl-C stops; the same command goes on, and skips what is there. Ends with 0 if every photo was enrolled or rejected with a
    reason, 1 if something failed.

    \b
    Example:
      candid import bookings.csv --agency washington-county
    """
    out = Output(as_json=json)
    photos = _source(source, collection, booked_at, _zone(timezone))
    stop = threading.Event()
    plan = Plan(workers or default_workers(), wait=not no_wait, patience=patience)
    target = config.target(agency=agency, user=user, roles=frozenset({Role.RECORDS}))
    total = photos.count()
    if total == 0:
        out.note(f"There is nothing to import in {source}.")
    started = time.monotonic()
    with ExitStack() as open_ones:
        file = open_ones.enter_context(open_report(report)) if report else None
        shown = open_ones.enter_context(display(out.human, waits=plan.wait))
        tally = Tally(total, shown.say, file)
        client = Client(
            target.url,
            target.tokens,
            patience=STEADY,
            connections=plan.workers + 5,
            wait=until(stop.wait),
            say=shown.say,
        )
        run = Import(Api(client), photos, tally, plan, stop)
        interrupted = False
        try:
            run.start()
            while not run.done():
                shown.update(tally.now())
                time.sleep(0.1)
        except KeyboardInterrupt:
            interrupted = True
            shown.say("Stopping; photos on their way are finished first.")
            run.stop()
        failure = run.finish()
        shown.update(tally.now())
    seconds = time.monotonic() - started
    counts = tally.now()
    out.show(*rendering.summary(counts, seconds, waited=plan.wait))
    if interrupted:
        out.note(f"Stopped. {_RESUME}")
    elif failure is not None:
        out.note(f"{failure} {_RESUME}")
    elif counts.waiting:
        out.note(
            f"No photo was enrolled for {patience:.0f} s, so candid stopped waiting. "
            "Nothing is lost: the photos are stored and in the queue, and `candid status` shows how far it is."
        )
    stopped_by = str(failure) if failure else None
    out.finish(rendering.as_json(counts, tally.failures, seconds, interrupted=interrupted, stopped_by=stopped_by))
    if interrupted:
        raise typer.Exit(130)
    if failure is not None or counts.failed or counts.bad_rows or counts.waiting:
        raise typer.Exit(1)


def _source(path: Path, collection: str, booked_at: str | None, zone: tzinfo) -> Source:
    if path.is_dir():
        return Folder(path, collection=collection, booked_at=_booked_at(booked_at, zone))
    if not path.exists():
        raise typer.BadParameter(f"{path} is not there.", param_hint="'DIR|MANIFEST.csv'")
    if booked_at is not None:
        raise typer.BadParameter("A manifest has its own booked_at in each row.", param_hint="'--booked-at'")
    return Manifest(path, collection=collection, zone=zone)


def _booked_at(given: str | None, zone: tzinfo) -> datetime | None:
    if given is None:
        return None
    try:
        return moments.parse(given, zone)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="'--booked-at'") from None


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter("There is no such time zone on this machine.", param_hint="'--timezone'") from None
