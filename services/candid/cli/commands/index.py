"""``candid index``: what an operator does with the index: make, fill, swap, compare, purge, move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from candid.cli.operators import Operators, connect, nothing
from candid.cli.options import Json, Stack
from candid.cli.output import Output, ask
from candid.cli.problems import NotThere
from candid.cli.rendering import indexes as rendering
from candid.errors import CandidError

app = typer.Typer(
    help="Operate the index that searches look at. For operators: AWS credentials instead of a token (none on a local stack).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Shards = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="How many shards: one for each two and a half million faces.", show_default=False
    ),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        min=0, max=10, help="Copies beside the first. Default: one where there is a node for it.", show_default=False
    ),
]


class NothingStandsBy(CandidError):
    """There is nothing to swap with."""


@app.command("status")
def status(stack: Stack = None, json: Json = False) -> None:
    """Show the indexes, what each is for and how full it is."""
    out = Output(as_json=json)
    told = connect(stack, out.note).carry_out({"operation": "status"}, nothing)
    out.show(*rendering.status(told))
    out.finish(told)


@app.command("create")
def create(shards: Shards = None, replicas: Replicas = None, stack: Stack = None, json: Json = False) -> None:
    """Make the first index, and tell OpenSearch what each function may do. Doing it again changes nothing."""
    out = Output(as_json=json)
    operators = connect(stack, out.note)
    roles = _roles(operators)
    told = operators.carry_out({"operation": "create", **_size(shards or 1, replicas)}, nothing)
    out.show(*rendering.created(told, roles))
    out.finish({**told, "roles": roles})


@app.command("reembed", no_args_is_help=True)
def reembed(
    model: Annotated[
        str,
        typer.Option(metavar="NAME", help="The model to embed with: sface, or deepface:<Name>.", show_default=False),
    ],
    shards: Shards = None,
    replicas: Replicas = None,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Fill another index from the stored photos, while searches go on.

    The photos go through the same queue as new ones. Stopped (Ctrl-C), the same command goes on. When it is complete, `candid
    index swap` lets searches look at it. With the model that serves already this makes the index anew.
    """
    out = Output(as_json=json)
    asked = {"operation": "reembed", "model": model, **_size(shards, replicas)}
    told = connect(stack, out.note).carry_out(asked, _noting(out, rendering.filling))
    out.show(*rendering.filled(told))
    out.finish(told)
    if not told["complete"]:
        raise typer.Exit(1)


@app.command("swap")
def swap(
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not first look whether the standby has every photo.")
    ] = False,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Let the index that stands by serve, and the one that serves stand by: at once, and back the same way.

    Both go on being written, so nothing is lost between two swaps. It is refused while the standby lacks a photo.
    """
    out = Output(as_json=json)
    operators = connect(stack, out.note)
    there = operators.carry_out({"operation": "status"}, nothing)
    standby = next((one["index"] for one in there["indexes"] if one["role"] == "standby"), None)
    if there["store"] == "opensearch" and standby is None:
        raise NothingStandsBy("No index stands by. `candid index reembed` makes and fills one.")
    # By its name: a request that is sent twice, because its answer was lost, must not swap back.
    asked = {"operation": "swap", "index": standby or there["indexes"][0]["index"], "unchecked": unchecked}
    told = operators.carry_out(asked, _noting(out, rendering.comparing))
    out.show(*rendering.swapped(told))
    out.finish(told)


@app.command("drop", no_args_is_help=True)
def drop(
    index: Annotated[
        str, typer.Argument(metavar="INDEX", help="Its name, as `candid index status` shows it.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Delete an index that does not serve, with all templates in it. The photos stay."""
    out = Output(as_json=json)
    if not yes:
        ask(f"Delete {index} with all its templates?")
    told = connect(stack, out.note).carry_out({"operation": "drop", "index": index}, nothing)
    out.show(f"{index} is deleted.")
    out.finish(told)


@app.command("verify")
def verify(
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Bring together what differs: enrol again, remind, delete what nobody owns."),
    ] = False,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Compare the table of bookings, the indexes and the photo bucket with each other, in both directions.

    Ends with 1 where something differs. A photo that is being enrolled now, or that arrived within the hour, is no difference.
    """
    out = Output(as_json=json)
    asked = {"operation": "verify", "repair": repair}
    told = connect(stack, out.note).carry_out(asked, _noting(out, rendering.verifying))
    out.show(*rendering.verified(told, repair=repair))
    out.finish(told)
    if not told["sound"]:
        raise typer.Exit(1)


@app.command("purge")
def purge(stack: Stack = None, json: Json = False) -> None:
    """Force deleted templates out of OpenSearch's files, and prove that none is left.

    A deleted template is never found; but its bytes stay in the files until a merge drops them, which this does now.
    """
    out = Output(as_json=json)
    told = connect(stack, out.note).carry_out({"operation": "purge"}, _noting(out, rendering.purging))
    out.show(*rendering.purged(told))
    out.finish(told)
    if not told["purged"]:
        raise typer.Exit(1)


@app.command("own", no_args_is_help=True)
def own(
    agency: Annotated[str, typer.Option(metavar="NAME", help="Whose collection.", show_default=False)],
    collection: Annotated[str, typer.Option(metavar="NAME", help="Which collection.", show_default=False)] = "bookings",
    shards: Annotated[int, typer.Option(min=1, max=1024, help="How many shards the collection gets.")] = 3,
    replicas: Replicas = None,
    stack: Stack = None,
    json: Json = False,
) -> None:
    """Move a large collection to an index of its own, so that no shard has more to do than the others. Searches go on."""
    out = Output(as_json=json)
    asked = {"operation": "own", "agency": agency, "collection": collection, **_size(shards, replicas)}
    told = connect(stack, out.note).carry_out(asked, _noting(out, rendering.moving))
    out.show(*rendering.moved(told, agency, collection))
    out.finish(told)


def _roles(operators: Operators) -> bool:
    """Map the functions' roles, where the stack has a function that may; whether it had."""
    try:
        operators.invoke("roles", {"operation": "roles"})
    except NotThere:
        return False
    return True


def _size(shards: int | None, replicas: int | None) -> dict[str, int]:
    return {name: value for name, value in (("shards", shards), ("replicas", replicas)) if value is not None}


def _noting(out: Output, line: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], None]:
    return lambda told: out.note(line(told))
