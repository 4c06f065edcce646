"""``candid search``: a probe in, a candidate list or an honest "none" out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from candid.access.principal import Role
from candid.cli import images, moments
from candid.cli.api import moment
from candid.cli.commands.case import case_id
from candid.cli.options import Agency, Face, Json, ProbeSource, User, face_choice
from candid.cli.output import Output
from candid.cli.rendering import candidates as rendering
from candid.cli.session import connect


def command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The probe: a photo of the face searched for.")],
    case: Annotated[
        str, typer.Option(metavar="CASE", help="The case's number or id (candid case open).", show_default=False)
    ],
    source: Annotated[
        ProbeSource,
        typer.Option(
            metavar="SOURCE", help=f"Where the probe comes from: {', '.join(ProbeSource)}.", show_default=False
        ),
    ],
    collection: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The gallery to search; bookings if not given.", show_default=False),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            metavar="AGENCY",
            help="Whose collection: that of another agency which shares it (candid share list --received).",
            show_default=False,
        ),
    ] = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="RATE",
            help="Threshold as a false match rate: 0.0001 admits one stranger in 10,000.",
            show_default=False,
        ),
    ] = None,
    similarity: Annotated[
        float | None,
        typer.Option(min=0, max=100, metavar="0-100", help="Threshold as a similarity.", show_default=False),
    ] = None,
    expected_false_candidates: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1_000_000,
            metavar="NUMBER",
            help="Threshold as how many wrong faces the gallery may yield by chance.",
            show_default=False,
        ),
    ] = None,
    maximum: Annotated[
        int | None,
        typer.Option(
            "--max",
            min=2,
            max=50,
            help="The longest list, 2 to 50; 20 if not given.",
            metavar="NUMBER",
            show_default=False,
        ),
    ] = None,
    face: Face = None,
    booked_from: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only bookings of this day or later.", show_default=False)
    ] = None,
    booked_before: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only bookings before this day.", show_default=False)
    ] = None,
    all_photos: Annotated[
        bool, typer.Option("--all-photos", help="List each photo, not one candidate a subject.")
    ] = False,
    links: Annotated[
        bool, typer.Option("--links", help="Show the addresses of the candidates' photos. They end in minutes.")
    ] = False,
    agency: Agency = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Search the gallery with a probe, under a case.

    Without a threshold the stricter of two applies: one stranger in 10,000, or one expected false candidate in the gallery.

    \b
    Example:
      candid search still.jpg --case 26-4410 --source surveillance_still
    """
    out = Output(as_json=json)
    request: dict[str, Any] = {"probe_source": source.value}
    request |= _threshold(fmr, similarity, expected_false_candidates)
    request |= {"collection": collection, "max_candidates": maximum, "face": face_choice(face)}
    filters = {
        "agency": of,
        "booked_from": _bound(booked_from, "--booked-from"),
        "booked_before": _bound(booked_before, "--booked-before"),
    }
    if any(filters.values()):
        request["filters"] = {name: value for name, value in filters.items() if value}
    if all_photos:
        request["per_subject"] = False
    images.read(image)  # Before anything is asked: a wrong path should say so at once.
    api = connect(agency=agency, user=user, role=Role.INVESTIGATOR, say=out.note)
    request["case_id"] = case_id(api, case)
    request |= images.as_probe(api, image)
    told = api.search({name: value for name, value in request.items() if value is not None})
    out.show(*rendering.search(told, links=links))
    out.finish(told.as_json())


def _threshold(
    fmr: float | None, similarity: float | None, expected_false_candidates: float | None
) -> dict[str, dict[str, float]]:
    given = {"fmr": fmr, "similarity": similarity, "expected_false_candidates": expected_false_candidates}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise typer.BadParameter("Give one of --fmr, --similarity and --expected-false-candidates, not several.")
    if chosen.get("fmr") == 0 or chosen.get("expected_false_candidates") == 0:
        raise typer.BadParameter("A threshold of 0 admits nothing. Give a number above 0.")
    return {"threshold": chosen} if chosen else {}


def _bound(given: str | None, option: str) -> str | None:
    if given is None:
        return None
    try:
        return moment(moments.parse(given))
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint=f"'{option}'") from None
