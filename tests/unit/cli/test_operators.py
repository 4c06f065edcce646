"""What operators read where their functions can't be asked."""

from __future__ import annotations

import socket

import boto3
import pytest
from botocore.config import Config

from candid.cli.operators import Operators
from candid.cli.problems import Unreachable


def test_a_local_stack_that_is_stopped_is_to_be_started_and_aws_is_not_blamed() -> None:
    with socket.socket() as holder:
        # Bound and not listening: nothing answers, and nobody else takes it meanwhile.
        holder.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{holder.getsockname()[1]}"
        client = boto3.client(
            "lambda",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(Unreachable) as raised:
            Operators("candid", client, print).invoke("index", {})
    assert str(raised.value) == f"The local stack does not answer at {address}. Start it with `make run`."
