"""Photos and probes in object storage: upload links, reading what is there now, erasing every version.

Not here: what a key means to the gallery (``gallery.photos``) or what is done with the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from botocore.exceptions import ClientError

from candid import aws
from candid.aws import dependency, error_code
from candid.errors import ImageTooLarge
from candid.tables import now

MAX_UPLOAD_BYTES: Final = 15 * 1024 * 1024
"""Of one photo or probe, as Rekognition takes from S3."""
UPLOAD_LINK_SECONDS: Final = 900
VIEW_LINK_SECONDS: Final = 300
_TOO_LARGE: Final = f"The photo has more than {MAX_UPLOAD_BYTES // 2**20} MB. Send a smaller one."


@dataclass(frozen=True, slots=True)
class UploadLink:
    """A presigned POST: ``fields`` first, then the file. It fits one key, one type and at most ``max_bytes``."""

    url: str
    fields: dict[str, str]
    expires_at: datetime
    max_bytes: int = MAX_UPLOAD_BYTES


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a key holds now. ``version_id`` is None where the bucket keeps no versions; metadata names are lower case."""

    data: bytes
    version_id: str | None
    etag: str
    content_type: str
    metadata: dict[str, str]
    stored_at: datetime


def upload_link(bucket: str, key: str, content_type: str) -> UploadLink:
    """A link that lets whoever holds it put one object under exactly ``key``, for fifteen minutes."""
    expires_at = now() + timedelta(seconds=UPLOAD_LINK_SECONDS)
    post = aws.s3().generate_presigned_post(
        bucket,
        key,
        Fields={"Content-Type": content_type},
        Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, MAX_UPLOAD_BYTES]],
        ExpiresIn=UPLOAD_LINK_SECONDS,
    )
    return UploadLink(post["url"], post["fields"], expires_at)


def view_link(bucket: str, key: str, version_id: str | None = None) -> tuple[str, datetime]:
    """A link that shows the object (this version of it, where one is named) for five minutes, and when it ends."""
    expires_at = now() + timedelta(seconds=VIEW_LINK_SECONDS)
    version = {"VersionId": version_id} if version_id else {}
    url = aws.s3().generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": key, **version}, ExpiresIn=VIEW_LINK_SECONDS
    )
    return url, expires_at


def put(bucket: str, key: str, data: bytes, content_type: str) -> None:
    """Store ``data`` under ``key``."""
    with dependency("the photo store"):
        aws.s3().put_object(Bucket=bucket, Key=key, Body=data, ContentType=content_type)


def read_current(bucket: str, key: str) -> StoredObject | None:
    """The object's current version; None where there is none or it is deleted. Raises ``ImageTooLarge`` before reading."""
    with dependency("the photo store"):
        try:
            answer = aws.s3().get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "NoSuchVersion", "404"}:
                return None
            raise
        if answer["ContentLength"] > MAX_UPLOAD_BYTES:
            answer["Body"].close()
            raise ImageTooLarge(_TOO_LARGE)
        return StoredObject(
            data=answer["Body"].read(),
            version_id=answer.get("VersionId"),
            etag=answer["ETag"].strip('"'),
            content_type=answer.get("ContentType", ""),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},
            stored_at=answer["LastModified"],
        )


def read_foreign(bucket: str, key: str, version_id: str | None = None, *, most: int = MAX_UPLOAD_BYTES) -> bytes | None:
    """An object of a bucket that is not Candid's; None where it is not there or may not be read. Raises ``ImageTooLarge`` before
    reading one of more than ``most`` bytes."""
    version = {"VersionId": version_id} if version_id else {}
    with dependency("the photo store"):
        try:
            answer = aws.s3().get_object(Bucket=bucket, Key=key, **version)  # type: ignore[arg-type]
        except ClientError as error:
            if aws.is_transient(error):
                raise
            # AWS has many words for it: the key, the version, the bucket, the right, its own key or a restored copy is not there.
            return None
        if answer["ContentLength"] > most:
            answer["Body"].close()
            raise ImageTooLarge(_TOO_LARGE)
        return answer["Body"].read()


def read_metadata(bucket: str, key: str) -> dict[str, str] | None:
    """The metadata of the object's current version, names in lower case; None where there is none or it is deleted."""
    with dependency("the photo store"):
        try:
            answer = aws.s3().head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in {"NoSuchKey", "NoSuchVersion", "404"}:
                return None
            raise
    return {name.lower(): value for name, value in answer.get("Metadata", {}).items()}


def erase(bucket: str, prefix: str) -> int:
    """Delete every version and every delete marker under ``prefix``; returns how many. Raises ``ClientError`` if one stays."""
    erased = 0
    with dependency("the photo store"):
        for page in aws.s3().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            for version in versions:
                aws.s3().delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
            erased += len(versions)
    return erased


@dataclass(frozen=True, slots=True)
class Version:
    """An entry of a bucket's list of versions. ``version_id`` is None where the bucket keeps no versions; ``current``: what a
    reader gets; ``deleted``: a marker, under which a reader finds nothing."""

    key: str
    version_id: str | None
    stored_at: datetime
    current: bool
    deleted: bool


def versions(
    bucket: str, prefix: str = "", after: tuple[str, str] | None = None
) -> tuple[list[Version], tuple[str, str] | None]:
    """Up to a thousand versions and delete markers under ``prefix``, and what continues the list; None at its end."""
    start = {"KeyMarker": after[0], "VersionIdMarker": after[1]} if after and after[1] else {}
    if after and not after[1]:
        start = {"KeyMarker": after[0]}
    with dependency("the photo store"):
        told = aws.s3().list_object_versions(Bucket=bucket, Prefix=prefix, **start)  # type: ignore[arg-type]
    listed = [
        Version(one["Key"], plain_version(one.get("VersionId")), one["LastModified"], one["IsLatest"], deleted)
        for kind, deleted in (("Versions", False), ("DeleteMarkers", True))
        for one in told.get(kind, [])  # type: ignore[attr-defined]
    ]
    if not told.get("IsTruncated"):
        return listed, None
    return listed, (told["NextKeyMarker"], told.get("NextVersionIdMarker", ""))


def plain_version(told: str | None) -> str | None:
    """A bucket that never kept versions calls the one that it has "null"."""
    return None if told in {None, "", "null"} else told


def is_empty(bucket: str, prefix: str) -> bool:
    """Whether no version and no delete marker is left under ``prefix``."""
    with dependency("the photo store"):
        page = aws.s3().list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return not page.get("Versions") and not page.get("DeleteMarkers")
