"""The dashboard draws what the functions say: each metric of Candid's own that it names is one that they emit, so dimensioned."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_lambda_powertools.metrics.provider import cold_start
from botocore.exceptions import EndpointConnectionError

from authorizer import app as authorizer_app
from candid.http import edge
from casework import app as casework_app
from rekognition import app as rekognition_app
from tests.contract.events import photo_batch
from tests.gateway import Caller, Context
from tests.integration.embedding import grey, station
from tests.integration.gallery import AGENCY, gallery, request, search
from tests.portraits import portrait
from tests.rekognition import client
from tests.template.system import dashboard

_EXPRESSION = re.compile(r"SEARCH\('\{Candid,([^}]*)\} MetricName=\"(\w+)\"")


def emitted(out: str) -> Iterator[tuple[str, frozenset[str], str]]:
    """Name, names of dimensions and service of each metric in what functions printed (CloudWatch's embedded metric format)."""
    for line in out.splitlines():
        if not line.startswith('{"_aws"'):
            continue
        told = json.loads(line)
        for directive in told["_aws"]["CloudWatchMetrics"]:
            assert directive["Namespace"] == "Candid"
            for dimensions in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    yield metric["Name"], frozenset(dimensions), told["service"]


def drawn() -> Iterator[tuple[str, frozenset[str], str | None]]:
    """The same of the dashboard; a search over metrics has no service."""
    for widget in dashboard():
        for metric in widget["metrics"]:
            if isinstance(metric[0], dict):
                found = _EXPRESSION.match(metric[0]["expression"])
                assert found
                yield found[2], frozenset(found[1].split(",")), None
            elif metric[0] == "Candid":
                pairs = [one for one in metric[2:] if isinstance(one, str)]
                yield metric[1], frozenset(pairs[::2]), dict(zip(pairs[::2], pairs[1::2], strict=True))["service"]


def test_every_metric_of_the_dashboard_is_one_that_a_function_emits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test may have been this process's first invocation.
    monkeypatch.setattr(cold_start, "is_cold_start", True)
    (tmp_path / "embed").mkdir()
    with station(tmp_path / "embed") as here:
        (key,) = here.register()
        here.put(key, portrait("person_a_1"))
        assert here.arrive(key) == []
        here.remove(key)
        assert here.depart(key) == []
        (other,) = here.register(number="2")
        here.put(other, grey())
        assert here.arrive(other) == []
        batch = photo_batch("no event")
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = "5"
        assert here.invoke(batch) == []
        here.wire.hooks["GetObject"] = _down
        (third,) = here.register(number="3")
        here.put(third, portrait("person_b_1"))
        assert len(here.arrive(third)) == 1
    with gallery(tmp_path / "search", USER_FACES_PER_HOUR="2") as made:
        edge.limits.cache_clear()
        made.enrol("person_a_1", "A")
        case_id = made.case()
        assert [search(made, request(case_id)).status for _ in range(3)] == [201, 201, 429]
        another = Caller(casework_app.handler, AGENCY, "det.kim", "investigator")
        told = another("POST", f"/v1/cases/{case_id}/credentials", {"probe_source": "surveillance_still"}).body
        rekognition_app.wired.cache_clear()
        client(told, rekognition_app.handler).search_faces_by_image(
            CollectionId="bookings", Image={"Bytes": portrait("person_a_2")}
        )
        rekognition_app.wired.cache_clear()
    edge.limits.cache_clear()
    with pytest.raises(Exception, match="Unauthorized"):
        authorizer_app.handler({"authorizationToken": "no"}, Context())  # type: ignore[arg-type]
    said = set(emitted(capsys.readouterr().out))
    names = {(name, dimensions) for name, dimensions, _ in said}
    for name, dimensions, service in drawn():
        assert (name, dimensions) in names if service is None else (name, dimensions, service) in said, name


def _down() -> None:
    raise EndpointConnectionError(endpoint_url="https://s3")
