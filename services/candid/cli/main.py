"""The entry point of ``candid``: which commands there are, and how a failure becomes one sentence and an exit code.

0 is done, 1 refused or failed, 2 wrong use, 130 Ctrl-C. ``CANDID_DEBUG=1`` shows a traceback as well.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from candid.cli import config, output
from candid.cli.commands import (
    case,
    compare,
    credentials,
    detect,
    doctor,
    import_,
    index,
    migrate,
    place,
    redrive,
    search,
    share,
    status,
    token,
)
from candid.cli.rendering.refusals import as_json, explained
from candid.errors import CandidError

app = typer.Typer(
    name="candid",
    help="Face search over booking photos. A candidate is an investigative lead and never an identification.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `candid doctor`, then `candid status`. Each command explains itself: candid COMMAND --help",
)


def _version(wanted: bool) -> None:
    if not wanted:
        return
    if "--json" in sys.argv:
        output.print_json({"version": version("candid")})
    else:
        print(f"candid {version('candid')}")
    raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
    __: Annotated[bool, typer.Option("--json", help="With --version: as JSON.", hidden=True)] = False,
) -> None:
    """Holds what stands before the command's name."""


app.command("import", no_args_is_help=True, short_help="Bring booking photos in")(import_.command)
app.command("search", no_args_is_help=True, short_help="Search the gallery with a probe, under a case")(search.command)
app.command("compare", no_args_is_help=True, short_help="Compare two faces, one to one")(compare.command)
app.command("detect", no_args_is_help=True, short_help="Find the faces of an image")(detect.command)
app.command("status", short_help="What runs, and where bookings stand")(status.command)
app.command("token", short_help="A bearer token for the local stack")(token.command)
app.command("credentials", short_help="Credentials for a Rekognition client that indexes faces")(credentials.command)
app.command("doctor", short_help="What is missing on this machine")(doctor.command)
app.add_typer(case.app, name="case", short_help="Open, show, list and close cases")
app.add_typer(share.app, name="share", short_help="For administrators: let other agencies read a collection")
app.add_typer(migrate.app, name="migrate", short_help="Leave Amazon Rekognition, and take the gallery along")
app.add_typer(place.app, name="place", short_help="For administrators: say where Rekognition calls may read images")
app.add_typer(index.app, name="index", short_help="For operators: make, fill, verify and purge the index")
app.add_typer(redrive.app, name="redrive", short_help="For operators: what failed for good, and the way back")


def run() -> NoReturn:
    """Run the command that ``sys.argv`` names, and end the process."""
    wants_json = "--json" in sys.argv[1:]
    try:
        code = app(standalone_mode=False, prog_name="candid") or 0
    except typer.TyperException as wrong:
        code = wrong.exit_code
        wrong.message = wrong.message.replace("Value error, ", "")
        show = getattr(wrong, "show", None)
        if show is not None:
            show()
        if wants_json:
            output.print_json({"error": {"sentence": wrong.format_message(), "usage": True}})
    except CandidError as error:
        if config.debugging():
            raise
        code = 1
        output.complain(*explained(error))
        if wants_json:
            output.print_json({"error": as_json(error)})
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        # Whoever read the output has read enough (`candid status | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if config.debugging():
            raise
        code = 1
        sentence = f"candid itself failed ({type(error).__name__}). Run it again with CANDID_DEBUG=1 to see where."
        output.Output(as_json=wants_json).note(sentence)
        if wants_json:
            output.print_json({"error": {"sentence": sentence}})
    sys.exit(int(code) if isinstance(code, int) else 0)
