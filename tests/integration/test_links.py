"""Links to objects: of the Region's own host, and of the version that is meant."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from candid import aws, storage


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "eu-central-2"])
def test_links_name_the_regions_own_host(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    aws.s3.cache_clear()
    try:
        view, _ = storage.view_link("photos", "a/b/c/d", "v1")
        upload = storage.upload_link("photos", "a/b/c/d", "image/jpeg")
    finally:
        aws.s3.cache_clear()
    assert urlsplit(view).hostname == urlsplit(upload.url).hostname == f"photos.s3.{region}.amazonaws.com"
    assert parse_qs(urlsplit(view).query)["versionId"] == ["v1"]


def test_an_endpoint_that_is_an_address_keeps_the_bucket_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("REGION", "us-east-1"), ("ACCESS_KEY_ID", "t"), ("SECRET_ACCESS_KEY", "t")):
        monkeypatch.setenv(f"AWS_{'DEFAULT_' if name == 'REGION' else ''}{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    aws.s3.cache_clear()
    try:
        assert storage.view_link("photos", "a/b")[0].startswith("http://127.0.0.1:4566/photos/a/b?")
    finally:
        aws.s3.cache_clear()
