"""A node for a person: its data stay, only a version that reads them opens them, and what is missing is one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import urllib3
from infra.local import opensearch, places
from infra.local.places import CHECKOUT
from infra.local.problems import LocalError
from infra.opensearch import kept, node

from candid.cli import jdk
from tests.opensearch import free_port, require

pytestmark = pytest.mark.slow


class Foreground:
    """``python -m infra.opensearch`` (``make opensearch``) in a folder of its own."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.port = free_port()
        kept_variables = {k: v for k, v in os.environ.items() if not k.startswith(("CANDID_", "OPENSEARCH", "INDEX"))}
        ours = {"CANDID_HOME": str(home), "CANDID_OPENSEARCH_PORT": str(self.port), "OPENSEARCH_HEAP": "512m"}
        ours |= {"OPENSEARCH_JAVA_OPTS": "-XX:TieredStopAtLevel=1"}
        self.environment = kept_variables | ours | {"PYTHONUNBUFFERED": "1"} | variables
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.opensearch"],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Return when it has said that it is up."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if "Ctrl-C ends it" in line:
                return
        _, complaint = self.process.communicate()
        raise AssertionError("".join(self.said) + complaint)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code and what it said, after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, complaint = self.process.communicate(timeout=90)
        return self.process.returncode, "".join(self.said) + out, complaint

    def log(self) -> str:
        return (self.home / "opensearch" / "opensearch.log").read_text(errors="replace")


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[list[Foreground]]:
    """Whatever a test starts is ended."""
    started: list[Foreground] = []
    yield started
    for one in started:
        one.end()


def put(url: str, body: str) -> None:
    urllib3.request("PUT", f"{url}/kept/_doc/1", body=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_says_where_it_is_ends_cleanly_and_its_data_are_there_again(
    tmp_path: Path, foreground: list[Foreground], number: int
) -> None:
    require(2)
    first = Foreground(tmp_path, OPENSEARCH="2")
    foreground.append(first)
    first.up()
    assert any(first.url in line for line in first.said)
    assert any(str(tmp_path / "opensearch") in line for line in first.said)
    urllib3.request("PUT", f"{first.url}/kept")
    put(first.url, '{"there": true}')
    # A second one on the same data would damage them.
    other = Foreground(tmp_path, OPENSEARCH="2")
    foreground.append(other)
    code, _, complaint = other.end(signal.SIGCONT)
    assert code == 1
    assert "runs on the data in" in complaint
    assert first.url in complaint
    code, said, complaint = first.end(number)
    assert (code, complaint) == (0, ""), said
    assert first.log().rstrip().endswith("Closed all nodes.")
    again = Foreground(tmp_path)
    foreground.append(again)
    again.up()
    # Without OPENSEARCH it is the version that wrote the data.
    assert (node.ask(again.url, "/") or {})["version"]["number"] == "2.19.1"
    assert (node.ask(again.url, "/kept/_doc/1") or {})["_source"] == {"there": True}
    assert any("1 indexes, 1 documents" in line for line in again.said)


def test_version_3_reads_what_2_has_written_and_2_is_refused_what_3_has_written(
    tmp_path: Path, foreground: list[Foreground]
) -> None:
    require(2)
    require(3)
    old = Foreground(tmp_path, OPENSEARCH="2")
    foreground.append(old)
    old.up()
    urllib3.request("PUT", f"{old.url}/kept")
    put(old.url, '{"there": true}')
    assert old.end()[0] == 0
    new = Foreground(tmp_path, OPENSEARCH="3")
    foreground.append(new)
    new.up()
    assert (node.ask(new.url, "/kept/_doc/1") or {})["_source"] == {"there": True}
    assert new.end()[0] == 0
    refused = Foreground(tmp_path, OPENSEARCH="2")
    foreground.append(refused)
    code, _, complaint = refused.end(signal.SIGCONT)
    assert code == 1
    assert "were written by OpenSearch 3.2.0, and 2.19.1 can't read them. Start with OPENSEARCH=3" in complaint
    assert len(complaint.strip().splitlines()) == 1


def test_a_taken_port_is_one_sentence_whether_it_is_for_http_or_transport(
    tmp_path: Path, foreground: list[Foreground]
) -> None:
    require(2)
    port = free_port()
    for taken, purpose in ((port, "OpenSearch"), (port + 100, "OpenSearch's transport")):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", taken))
            holder.listen()
            refused = Foreground(tmp_path, OPENSEARCH="2", CANDID_OPENSEARCH_PORT=str(port))
            foreground.append(refused)
            code, _, complaint = refused.end(signal.SIGCONT)
        assert code == 1
        assert complaint.strip().startswith(f"Port {taken}, meant for {purpose}, is taken")
        assert f"make opensearch CANDID_OPENSEARCH_PORT={port + 10}" in complaint


@pytest.fixture
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a JDK nor Maven, and nothing was fetched before."""
    monkeypatch.setattr(jdk, "_FOLDERS", ())
    monkeypatch.setattr(node, "BUILT", tmp_path / "built")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_jdk_the_sentence_says_which_is_needed(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"OpenSearch 3 needs a JDK of 21 or later, and there is none here"):
        kept.choose(tmp_path, 3, "")
    with pytest.raises(LocalError, match=r"OpenSearch 2 needs a JDK of 17 to 23"):
        kept.choose(tmp_path, None, "")


@pytest.mark.usefixtures("nothing_installed")
def test_without_maven_the_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jdk, "java", lambda _: tmp_path / "java")
    with pytest.raises(LocalError, match=r"fetched by Maven \(mvn\), once, and there is none here"):
        kept.choose(tmp_path, None, "")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("INDEX", "elastic", "INDEX must be embedded or opensearch"),
        ("OPENSEARCH", "1", "OPENSEARCH must be 2 or 3"),
        ("OPENSEARCH_HEAP", "lots", "OPENSEARCH_HEAP must be a size such as 512m"),
        ("CANDID_OPENSEARCH_PORT", "65500", "CANDID_OPENSEARCH_PORT must be a number from 1 to 65435"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(LocalError, match=said):
        places.read({variable: value})


def test_each_index_has_a_gallery_of_its_own_and_none_needs_another_folder_than_before() -> None:
    embedded, real = places.read({}), places.read({"INDEX": "opensearch"})
    assert embedded.aws_state.name == embedded.index.name == "sface"
    assert real.aws_state != embedded.aws_state
    assert real.index != embedded.index
    assert embedded.opensearch_url == ""
    assert places.read({"INDEX": "opensearch", "MODEL": "deepface:SFace"}).opensearch_prefix == "candid-deepface-sface"


@pytest.mark.parametrize("url", ["https://127.0.0.1:9200", "http://search.example.org:9200", "127.0.0.1:9200"])
def test_an_opensearch_of_somebody_elses_must_be_on_this_machine(url: str) -> None:
    with pytest.raises(LocalError, match="must begin with http:// and name this machine"):
        opensearch.require_foreign(places.read({"INDEX": "opensearch", "OPENSEARCH_URL": url}))


class _NoPlugin(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/"
        body = b'{"version": {"number": "3.2.0"}}' if found else b"{}"
        self.send_response(200 if found else 400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


def test_an_opensearch_without_the_plugin_or_none_at_all_is_one_sentence() -> None:
    with HTTPServer(("127.0.0.1", 0), _NoPlugin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = places.read({"INDEX": "opensearch", "OPENSEARCH_URL": f"http://127.0.0.1:{server.server_port}"})
        with pytest.raises(LocalError, match="has no k-NN plugin"):
            opensearch.require_foreign(where)
        server.shutdown()
    with pytest.raises(LocalError, match="no OpenSearch answers there"):
        opensearch.require_foreign(where)
