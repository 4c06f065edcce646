"""``candid migrate``: leave another face search, and take the gallery along."""

from __future__ import annotations

import csv
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from candid.access.principal import Role
from candid.cli import migration
from candid.cli.migration import PLACE, Address, Left, Migration, Tally, Target
from candid.cli.options import Agency, Json, User
from candid.cli.output import Output
from candid.cli.problems import NotConfigured
from candid.cli.rendering import migration as rendering
from candid.cli.session import connect

app = typer.Typer(
    help="Leave another face search, and take the gallery along.", no_args_is_help=True, rich_markup_mode=None
)
_TELL_SECONDS = 5.0
_CREDENTIALS_SECONDS = 12 * 3600


@app.callback()
def _only() -> None:
    """Keeps ``rekognition`` a command of its own."""


@app.command("rekognition", no_args_is_help=True)
def rekognition(
    collection: Annotated[
        str, typer.Option(metavar="NAME", help="The collection in Amazon Rekognition.", show_default=False)
    ],
    photos: Annotated[
        str | None,
        typer.Option(
            metavar="S3://BUCKET/KEY",
            help=f"Where the original photos lie; {PLACE} in it stands for each one's name. Without it the collection is listed "
            "and nothing is done.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The collection in Candid (default: the same name).", show_default=False),
    ] = None,
    source_profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The AWS profile of the account that has collection and photos.", show_default=False
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="NAME", help="The Region of the collection.", show_default=False)
    ] = None,
    left: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a CSV of the photos that were left, with the reasons.", show_default=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Photos at a time.")] = 8,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Enrol a Rekognition collection's photos anew from the originals in S3. Templates can't be taken out of Rekognition.

    Of a photo's faces those stay that lie where the collection has them. A photo whose ExternalImageId is in Candid's collection
    already is left out, so a run that was cut off is begun again.
    Users are not taken along: associate their faces again by ExternalImageId. A photo of more than 4.4 MB is read by Candid
    itself, from a place that your agency has registered (candid place add).

    \b
    Example:
      candid migrate rekognition --collection inmates --source-profile county \\
          --photos 's3://county-mugshots/2026/{external_image_id}.jpg' --to bookings
    """
    out = Output(as_json=json)
    address = _address(photos)
    if left is not None:
        _expect_writable(left)
    source = _source(source_profile, region)
    api = connect(agency=agency, user=user, role=Role.RECORDS, say=out.note)
    target = Target(lambda: api.records_credentials(_CREDENTIALS_SECONDS), workers)
    theirs = source["rekognition"]
    if theirs.meta.endpoint_url == target.client().meta.endpoint_url and os.environ.get("AWS_ENDPOINT_URL_REKOGNITION"):
        raise NotConfigured(
            "AWS_ENDPOINT_URL_REKOGNITION names Candid itself, also for an AWS profile. Unset it, and AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN that came with it."
        )
    what = migration.listed(theirs, collection)
    out.show(*rendering.found(what, collection))
    if address is None:
        out.finish(rendering.as_json(what, None))
        return
    stop, told = threading.Event(), [time.monotonic()]

    def watch(tally: Tally) -> None:
        if time.monotonic() - told[0] >= _TELL_SECONDS:
            told[0] = time.monotonic()
            out.note(rendering.progress(tally))

    name = to or collection

    def booked() -> set[str]:
        pages = api.bookings(collection=name)
        return {one.booking_number for page in pages for one in page if one.booking_number is not None}

    run = Migration(source["s3"], address, target, name, booked, workers, stop)
    tally = run.run(what, watch)
    out.show(*rendering.summary(tally))
    if left is not None:
        _write(left, tally.left)
    out.finish(rendering.as_json(what, tally))
    if tally.failure is not None:
        out.note(f"{tally.failure} The same command again goes on from here.")
        raise typer.Exit(1)
    if stop.is_set():
        out.note("Stopped. The same command again goes on from here.")
        raise typer.Exit(130)
    if tally.left:
        out.note(f"See {left} for each." if left else "Give --left FILE to have each of those left, with its reason.")
        raise typer.Exit(1)


def _address(given: str | None) -> Address | None:
    if given is None:
        return None
    try:
        return Address.parse(given)
    except ValueError:
        raise typer.BadParameter(
            f"Name the photos as s3://BUCKET/KEY, with {PLACE} in KEY once.", param_hint="'--photos'"
        ) from None


def _source(profile: str | None, region: str | None) -> dict[str, Any]:
    """Clients of the account that is left, by their services' names."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    how = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=64)
    try:
        session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
        # A profile that is not there is missed by the first client.
        return {service: session.client(service, config=how) for service in ("rekognition", "s3")}
    except BotoCoreError as error:
        raise NotConfigured(
            f"AWS's SDK can't be set up: {str(error).rstrip('.')}. Check --source-profile and --region."
        ) from None


def _expect_writable(path: Path) -> None:
    try:
        # What an earlier run has left stays until this one knows better.
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be written ({error.strerror}).", param_hint="'--left'") from None


def _write(path: Path, rows: Sequence[Left]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        made = csv.writer(file)
        made.writerow(["external_image_id", "reason", "sentence"])
        made.writerows((one.external, one.reason, one.sentence) for one in rows)
