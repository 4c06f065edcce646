"""A taken port is one sentence that names the port, the process and the variable."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from infra.local import places
from infra.local.ports import require_free
from infra.local.problems import LocalError


def test_a_taken_port_is_one_sentence_with_the_process_and_the_way_out() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(LocalError) as raised:
            require_free(port, "CANDID_AWS_PORT", "the local AWS")
    told = str(raised.value)
    assert told.startswith(f"Port {port}, meant for the local AWS, is taken")
    assert f"make run CANDID_AWS_PORT={port + 10}" in told
    if sys.platform == "linux":
        assert f"process {os.getpid()}" in told
    require_free(port, "CANDID_AWS_PORT", "the local AWS")


@pytest.mark.parametrize("value", ["x", "0", "65536", "-1", "4 5", "４５６６"])
def test_a_port_that_is_none_is_named_with_its_variable(value: str) -> None:
    with pytest.raises(LocalError, match="CANDID_FACES_PORT must be a number from 1 to 65535"):
        places.read({"CANDID_FACES_PORT": value})


def test_two_processes_do_not_share_a_port() -> None:
    with pytest.raises(LocalError, match="CANDID_AWS_PORT and CANDID_FACES_PORT are both 4567"):
        places.read({"CANDID_AWS_PORT": "4567"})
    with pytest.raises(LocalError, match="CANDID_FACES_PORT and CANDID_REKOGNITION_PORT are both 4568"):
        places.read({"CANDID_FACES_PORT": "4568"})
    with pytest.raises(LocalError, match="CANDID_OPENSEARCH_PORT and CANDID_REKOGNITION_PORT are both 9200"):
        places.read({"CANDID_REKOGNITION_PORT": "9200", "INDEX": "opensearch"})
    with pytest.raises(LocalError, match="CANDID_FACES_PORT and the transport of CANDID_OPENSEARCH_PORT are both 9300"):
        places.read({"CANDID_FACES_PORT": "9300", "INDEX": "opensearch"})
    # Where no node of ours listens, its port is anybody's.
    assert places.read({"CANDID_REKOGNITION_PORT": "9200"}).rekognition_port == 9200
    # A local AWS of somebody else's has its own address.
    assert places.read({"CANDID_AWS_PORT": "4567", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).faces_port == 4567


def test_empty_variables_are_as_good_as_none() -> None:
    read = places.read({"CANDID_AWS_PORT": "", "MODEL": "", "AWS_ENDPOINT_URL": "", "CANDID_HOME": ""})
    assert (read.aws_port, read.faces_port, read.model, read.foreign_aws) == (4566, 4567, "sface", "")
    assert read.home == places.CHECKOUT / ".candid"


def test_each_model_has_a_gallery_of_its_own() -> None:
    ours, theirs = places.read({}), places.read({"MODEL": "deepface:SFace"})
    assert ours.aws_state != theirs.aws_state
    assert ours.index != theirs.index
    assert ":" not in str(theirs.index)
