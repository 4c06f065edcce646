"""A search's answer: the candidate list as a person should read it, or that there is none; always with the notice."""

from __future__ import annotations

from typing import Final

from rich.console import RenderableType
from rich.text import Text

from candid.cli.answers import FaceResult, Search, Threshold
from candid.cli.rendering.faces import place
from candid.cli.rendering.tables import row, table
from candid.cli.rendering.words import NONE, day, expected, minute, odds, plural, similarity

_EXPECTED: Final = "Expected false\ncandidates"


def search(told: Search, *, links: bool) -> list[RenderableType]:
    """What was searched, the candidates of each face, and the notice. ``links`` adds the photos' addresses."""
    how = "every one compared" if told.exact else "by an approximate index"
    parts: list[RenderableType] = [
        Text(f"Searched {plural(told.gallery_size, 'face')} of {_gallery(told)} ({how}) with {told.model.id}."),
        Text(f"Threshold: {_threshold(told.threshold)}."),
    ]
    if not told.gallery_size:
        parts.append(
            Text("Nothing was searched: the collection holds no face of that agency, or none of the days asked for.")
        )
    for result in told.results:
        parts += _result(result, several=len(told.results) > 1, links=links)
    if any(candidate.score.extrapolated for result in told.results for candidate in result.candidates):
        parts.append(Text("* beyond the rarest rate that was measured: an estimate", style="dim"))
    if told.model.calibration:
        parts.append(Text(told.model.calibration, style="dim"))
    parts.append(Text(f"Stored as search {told.search_id}, {minute(told.searched_at)}.", style="dim"))
    return [*parts, Text(told.notice, style="bold")]


def _result(result: FaceResult, *, several: bool, links: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if face := result.face:
        of = f"Face {face.box.index}" if several else "Probe face"
        parts.append(Text(f"{of}: {place(face.box)}, quality {face.quality.score:.0f} of 100."))
        parts += [Text(f"  {reason.sentence}") for reason in face.reasons]
    if not result.candidates:
        return [*parts, Text("No candidate above the threshold.", style="bold")]
    made = table(
        "Rank",
        "Subject",
        "Booking or image",
        "Booked",
        "Similarity",
        "As alike by chance",
        _EXPECTED,
        right=("Rank", "Similarity", _EXPECTED),
        whole=("Rank", "Booked", "Similarity"),
    )
    for one in result.candidates:
        row(
            made,
            str(one.rank),
            one.subject_id or NONE,
            one.booking_number or one.external_image_id or NONE,
            day(one.booked_at),
            similarity(one.score.similarity) if one.score.similarity is not None else f"cosine {one.score.cosine:.3f}",
            odds(one.score.fmr, extrapolated=one.score.extrapolated),
            expected(one.expected_false_candidates),
        )
    parts.append(made)
    if links:
        parts += [
            Text(
                f"{one.rank}  {one.photo_url}  (until {minute(one.photo_url_expires_at)})",
                no_wrap=True,
                overflow="ignore",
            )
            for one in result.candidates
            if one.photo_url
        ]
    return parts


def _gallery(told: Search) -> str:
    whose = "" if told.gallery_agency == told.agency else f" of {told.gallery_agency}"
    return f"{told.collection}{whose}"


def _threshold(applied: Threshold) -> str:
    if applied.fmr is None:
        said = f"a cosine of {applied.cosine:.3f}"
    else:
        said = f"{odds(applied.fmr)} (similarity {similarity(applied.similarity)}"
        if applied.expected_false_candidates is not None:
            said += f", {expected(applied.expected_false_candidates)} expected false candidates"
        said += ")"
    return f"{said}; {applied.basis.rstrip('.')}" if applied.basis else said
