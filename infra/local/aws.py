"""Clients of the local AWS, and nothing but it: the endpoint and the meaningless credentials are always given."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

from infra.local.places import REGION


def client(aws_url: str, service: str) -> Any:
    """A client of ``service`` at ``aws_url``. The laptop's own AWS profile and credentials play no part."""
    session: Any = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
        region_name=REGION,
    )
    return session.client(
        service,
        endpoint_url=aws_url,
        config=Config(
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=120,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )
