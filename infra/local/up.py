"""``make run``: everything up, in order, a line a step; then it stays until Ctrl-C, or returns (``DETACH=1``)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from candid.access.keys import LocalKeys
from candid.access.principal import Role
from candid.faces.registry import model_card
from infra.build import BuildError, build, host_architecture
from infra.local import (
    agreement,
    changes,
    demo,
    deploy,
    emulator,
    faces,
    gateway,
    model,
    opensearch,
    ports,
    running,
    saved_state,
    show,
)
from infra.local.places import CHECKOUT, OPENSEARCH, STACK, Places
from infra.local.problems import LocalError
from infra.local.progress import step
from infra.local.running import Running
from infra.models.fetch import FetchError, fetch
from infra.opensearch import kept
from infra.opensearch.node import Node

AUDIENCE: Final = "candid"
_GALLERY: Final = frozenset({"MODEL", "INDEX"})


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked for besides a running Candid."""

    fresh: bool = False
    detach: bool = False
    demonstrate: bool = True


def up(places: Places, wishes: Wishes, template: Path = CHECKOUT / "template.yaml") -> int:
    """Start Candid; the exit code. Raises ``LocalError`` after ending whatever had been started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if already := already_up(places, wishes):
        _summarise(places, already, stays=False)
        return 0
    print(f"Starting Candid on this machine; everything it keeps is in {places.home}")
    was_killed = _clear_away(places, wishes)
    had_gallery = saved_state.is_saved(places.aws_state)
    now = Running(places)
    try:
        told, index_is_new = _start(now, template)
        if was_killed or (index_is_new and had_gallery):
            print(f"  {agreement.look(places, told['outputs']).sentence()}")
        if wishes.demonstrate:
            _demonstrate(places, told)
        _summarise(places, told, stays=not wishes.detach)
        if wishes.detach:
            return 0
        return _stay(now)
    except KeyboardInterrupt:
        print()
        _end(now)
        return 0
    except BrokenPipeError:  # Who read the output is gone, and so is the wish to have this running.
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            _end(now)
        return 1
    except BaseException:
        _end(now)
        raise


def _start(now: Running, template: Path) -> tuple[dict[str, Any], bool]:
    """Start the processes and deploy; the description of what runs, and whether its OpenSearch index had to be made."""
    places = now.places
    if not places.foreign_aws:
        ports.require_free(places.aws_port, "CANDID_AWS_PORT", "the local AWS")
    ports.require_free(places.faces_port, "CANDID_FACES_PORT", "the functions that see faces")
    ports.require_free(places.rekognition_port, "CANDID_REKOGNITION_PORT", "Rekognition clients")
    with step("model weights and sample portraits"):
        try:
            fetch(places.models, places.samples, say=lambda _: None)
        except FetchError as error:
            raise LocalError(str(error)) from None
        model.require(places)
    started = _start_opensearch(now)
    with step("starting the process for the functions that see faces"):
        now.faces = faces.start(places)
        now.save()
    with step("building the other functions"):
        _build()
    if started:
        # Before the local AWS, which goes on at once with the photos that were waiting when it stopped.
        with step("waiting for OpenSearch") as line:
            line.note = kept.wait_for(started)
    if not places.foreign_aws:
        with step(f"starting the local AWS on port {places.aws_port}"):
            now.emulator = emulator.start(places)
            now.save()
    with step("deploying template.yaml") as line:
        deployed = deploy.deploy(
            places.aws_url,
            STACK,
            template,
            _parameters(places),
            forward_to=places.faces_url if places.foreign_aws else "",
        )
        line.note = "" if deployed.changed else "unchanged"
    with step("loading the functions that see faces"):
        faces.load(places)
    index_is_new = False
    if places.opensearch_url:
        with step("the index in OpenSearch") as line:
            index_is_new = opensearch.create_index(places)
            line.note = "" if index_is_new else "found the earlier one"
    changes.deliver_again(places.aws_url, deployed.outputs["GalleryTableName"])
    told = {
        "api_url": gateway.url(places.aws_url, deployed.outputs["ApiId"], _stage(deployed.outputs)),
        "issuer": places.faces_url,
        "rekognition_url": places.rekognition_url,
        "keys": str(places.keys),
        "aws_endpoint_url": places.aws_url,
        "stack": STACK,
        "agency": demo.LAKESIDE,
        "model": places.model,
        "index": places.index_kind,
        "opensearch_url": places.opensearch_url,
        "opensearch_version": opensearch.version(places),
        "logs": str(places.logs),
        "outputs": deployed.outputs,
    }
    _write_token(places)
    now.describe(told)
    return told, index_is_new


def _start_opensearch(now: Running) -> Node | None:
    """The node of this gallery's index, started and not waited for; None where there is none of ours."""
    places = now.places
    if not places.opensearch_url:
        return None
    if places.foreign_opensearch:
        opensearch.require_foreign(places)
        return None
    started = opensearch.start(places)
    now.opensearch = started.process
    now.save()
    return started


def _demonstrate(places: Places, told: Mapping[str, Any]) -> None:
    stack = _demo_stack(places, told)
    demo.enrol(stack)
    if not _is_calibrated(places):
        print(f"  No searches: {places.model} has no calibration, so each search must name its threshold as a cosine.")
        return
    with step("opening a case and searching twice"):
        case = demo.open_case(stack)
        enrolled = demo.search(stack, "person_a_2.jpg", case)
        stranger = demo.search(stack, "person_b_2.jpg", case)
    show.searches(enrolled, stranger)


def _summarise(places: Places, told: Mapping[str, Any], *, stays: bool) -> None:
    searchable = _is_calibrated(places)
    case = demo.case_to_try(_demo_stack(places, told)) if searchable else None
    show.summary(told, places.home / "token", places.logs, stays=stays, searchable=searchable, case=case)


def _demo_stack(places: Places, told: Mapping[str, Any]) -> demo.Stack:
    return demo.Stack(
        told["api_url"],
        told["issuer"],
        Path(told["keys"]),
        told["aws_endpoint_url"],
        told["outputs"]["PhotosBucketName"],
        places.samples,
    )


def _is_calibrated(places: Places) -> bool:
    return model_card(places.model).calibration is not None


def _parameters(places: Places) -> dict[str, str]:
    return {
        "Architecture": host_architecture(),
        # Nothing is pulled: the process in the image's place serves the functions.
        "FacesImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/candid-faces:local",
        **_index_parameters(places),
        "TokenIssuer": places.faces_url,
        "TokenJwksUrl": f"{places.faces_url}/.well-known/jwks.json",
        "Model": places.model,
        "RekognitionEndpoint": places.rekognition_url,
        **places.parameters,
    }


def _index_parameters(places: Places) -> dict[str, str]:
    if places.index_kind == OPENSEARCH:
        return {"OpenSearchEndpoint": places.opensearch_url, "OpenSearchPrefix": places.opensearch_prefix}
    return {"EmbeddedIndexPath": str(places.index)}


def _build() -> None:
    try:
        build()
    except BuildError as error:
        raise LocalError(str(error)) from None


def _stage(outputs: Mapping[str, str]) -> str:
    """The stage's name is the last part of the address that the template gives."""
    return urlsplit(outputs["ApiUrl"]).path.strip("/").split("/")[0]


def _write_token(places: Places) -> None:
    token = LocalKeys.load_or_create(places.keys).issue(
        issuer=places.faces_url,
        audience=AUDIENCE,
        user=demo.DETECTIVE,
        agency=demo.LAKESIDE,
        roles=[Role.INVESTIGATOR, Role.RECORDS],
    )
    path = places.home / "token"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(token + "\n")


def already_up(places: Places, wishes: Wishes) -> dict[str, Any] | None:
    """What runs here, as ``local.json`` has it; None where nothing whole does. Raises ``LocalError`` where it is not what is
    asked for: other variables, or a fresh start."""
    earlier = running.recorded(places)
    told = running.described(places)
    if earlier is None or told is None or not earlier.all_live():
        return None
    # What nobody asks for now may be as it is, but for the gallery.
    asked = {name: value for name, value in places.settings.items() if name in _GALLERY or os.environ.get(name)}
    others = [name for name, value in asked.items() if earlier.settings and earlier.settings.get(name) != value]
    if wishes.fresh or others:
        # Another index brings variables of its own.
        told_of = [name for name in others if name in _GALLERY] or others
        other = f", with another {', '.join(told_of)}" if others else ""
        raise LocalError(
            f"Candid is already running here{other}. End it with `make stop` (or Ctrl-C where it runs) first."
        )
    print("Candid is already running here.")
    return told


def _clear_away(places: Places, wishes: Wishes) -> bool:
    """End what an earlier run that was killed has left. True if its gallery goes on with what had been saved before."""
    earlier = running.recorded(places)
    if earlier is not None:
        if earlier.any_lives():
            with step("ending what an earlier run has left behind"):
                earlier.stop()
        else:
            earlier.stop()
    if wishes.fresh:
        _forget(places)
        return False
    if places.foreign_aws or not saved_state.ended_uncleanly(places.aws_state):
        return False
    if not saved_state.is_saved(places.aws_state):
        print("  The local AWS was killed before it had ever saved its tables. Starting with an empty gallery.")
        _forget(places)
        return False
    print("  The local AWS was killed without saving: bookings, cases and searches since its last clean end are lost.")
    return True


def _forget(places: Places) -> None:
    saved_state.forget(places.aws_state, places.index)
    if places.index_kind == OPENSEARCH and places.foreign_opensearch:
        opensearch.require_foreign(places)
        opensearch.forget(places)


def _stay(now: Running) -> int:
    while True:
        time.sleep(0.5)
        if running.is_being_stopped(now.places):
            print("\nEnded by `make stop`.")
            return 0
        if not now.all_live():
            raise LocalError(_ended_by_itself(now))


def _ended_by_itself(now: Running) -> str:
    if "opensearch" in now.ended():
        return f"OpenSearch has ended by itself. Its log is {now.places.index / 'opensearch.log'}."
    return f"A process of Candid's has ended by itself. The logs in {now.places.logs} say why."


def _end(now: Running) -> None:
    """Stop everything; a second Ctrl-C must not keep the local AWS from saving."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not now.any_lives():
        now.stop()
        return
    with step("saving the gallery and ending") as line:
        if not now.stop():
            line.note = "the local AWS had to be killed: what came since the last clean end is lost"


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def detached_stop(places: Places) -> int:
    """``make stop``: end what runs here."""
    earlier = running.recorded(places)
    if earlier is None or not earlier.any_lives():
        if earlier is not None:
            earlier.stop()
        print("Nothing of Candid's is running here.")
        return 0
    _end(earlier)
    return 0


def flag(value: str | None) -> bool:
    """A variable such as FRESH=1 as yes or no."""
    return (value or "").strip().lower() not in {"", "0", "no", "false"}


def wishes(environ: Mapping[str, str] = os.environ) -> Wishes:
    """FRESH, DETACH and DEMO from the environment."""
    return Wishes(
        fresh=flag(environ.get("FRESH")), detach=flag(environ.get("DETACH")), demonstrate=flag(environ.get("DEMO", "1"))
    )
