"""What is deployed locally is template.yaml itself: only its local paths become places in a bucket."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from infra.local import forwarding_function
from infra.local.template import deployable, zipped

from tests.gateway import Context

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      DefinitionBody: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: gateway.yaml}}}
  Ingest:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: !Sub "${AWS::StackName}-ingest", CodeUri: code, Handler: ingest.app.handler}
  Embed:
    Type: AWS::Serverless::Function
    Properties:
      PackageType: Image
      ImageUri: !Ref Image
      MemorySize: 2048
      ImageConfig: {Command: [embed.app.handler]}
      Environment: {Variables: {MODEL: !Ref Model}}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    (tmp_path / "code" / "ingest").mkdir(parents=True)
    (tmp_path / "code" / "ingest" / "app.py").write_text("handler = None\n")
    (tmp_path / "code" / "native.so").write_text("for Linux\n")
    (tmp_path / "gateway.yaml").write_text("openapi: 3.0.1\nx-amazon-apigateway-gateway-responses: {}\n")
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    return tmp_path / "template.yaml"


def resources(made: Any) -> Any:
    return json.loads(made.body)["Resources"]


def test_paths_become_places_named_by_content_and_nothing_else_changes(template: Path) -> None:
    made = deployable(template)
    told = resources(made)
    code = told["Ingest"]["Properties"]["CodeUri"]
    assert code.startswith("s3://candid-deployments/functions/")
    assert code.removeprefix("s3://candid-deployments/") in made.objects
    include = told["Api"]["Properties"]["DefinitionBody"]["Fn::Transform"]["Parameters"]["Location"]
    assert (
        made.objects[include.removeprefix("s3://candid-deployments/")]
        == (template.parent / "gateway.yaml").read_bytes()
    )
    assert told["Embed"]["Properties"]["ImageConfig"] == {"Command": ["embed.app.handler"]}
    assert told["Ingest"]["Properties"]["FunctionName"] == {"Fn::Sub": "${AWS::StackName}-ingest"}


def test_the_same_content_is_the_same_deployment_and_a_changed_line_is_another(template: Path) -> None:
    before = deployable(template).body
    (template.parent / "code" / "ingest" / "app.py").touch()
    assert deployable(template).body == before
    (template.parent / "code" / "ingest" / "app.py").write_text("handler = 1\n")
    assert deployable(template).body != before


def test_off_linux_libraries_built_for_linux_stay_out_of_the_zip(template: Path) -> None:
    def names(system: str) -> set[str]:
        return set(zipfile.ZipFile(io.BytesIO(zipped(template.parent / "code", system))).namelist())

    assert names("linux") == {"ingest/app.py", "native.so"}
    assert names("darwin") == {"ingest/app.py"}


def test_where_images_cannot_run_a_small_zip_forwards_and_keeps_the_functions_own_settings(template: Path) -> None:
    made = deployable(template, forward_to="http://127.0.0.1:4567")
    told = resources(made)["Embed"]["Properties"]
    assert told["Handler"] == "forwarding_function.handler"
    assert "ImageUri" not in told
    assert "PackageType" not in told
    assert told["Environment"]["Variables"] == {
        "MODEL": {"Ref": "Model"},
        "CANDID_FACES_URL": "http://127.0.0.1:4567",
        "CANDID_FORWARDED_HANDLER": "embed.app.handler",
    }
    data = made.objects[told["CodeUri"].removeprefix("s3://candid-deployments/")]
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["forwarding_function.py"]


@pytest.mark.parametrize(("status", "body"), [(200, {"statusCode": 201}), (500, {"errorType": "KeyError"})])
def test_the_forwarding_function_answers_what_the_faces_server_answers(
    monkeypatch: pytest.MonkeyPatch, status: int, body: dict[str, Any]
) -> None:
    seen: list[Any] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["X-Amzn-Lambda-Function-Name"], json.loads(sent)))
            told = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    monkeypatch.setenv("CANDID_FACES_URL", f"http://127.0.0.1:{server.server_address[1]}")
    context = Context(function_name="candid-embed")
    if status == 200:
        assert forwarding_function.handler({"Records": []}, context) == body
    else:
        with pytest.raises(forwarding_function.FaceFunctionFailed, match=r"^KeyError$"):
            forwarding_function.handler({"Records": []}, context)
    thread.join()
    server.server_close()
    assert seen == [("/2015-03-31/functions/candid-embed/invocations", "candid-embed", {"Records": []})]
