"""Buckets and tables of the template. The local AWS ignores most of this, so the template itself is asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration import aws
from tests.template.system import as_list, denies_plain_http, place, properties, resources, statements, transformed

FACES = ("PhotosBucket", "ProbesBucket")
BUCKETS = (*FACES, "AccessLogsBucket")
TABLES = {"GalleryTable": aws.GALLERY_TABLE, "CaseworkTable": aws.CASEWORK_TABLE}
ALL_TABLES = {**TABLES, "LimitsTable": aws.LIMITS_TABLE}


def _rule(bucket: str, key: str) -> dict[str, Any]:
    rules = properties(bucket)["LifecycleConfiguration"]["Rules"]
    found: dict[str, Any] = next(rule for rule in rules if key in rule and rule["Status"] == "Enabled")
    return found


def test_these_are_all_the_buckets_and_tables() -> None:
    assert set(resources("AWS::S3::Bucket")) == set(BUCKETS)
    assert set(resources("AWS::DynamoDB::Table")) == set(ALL_TABLES)


@pytest.mark.parametrize("bucket", FACES)
def test_images_are_encrypted_with_the_customers_key(bucket: str) -> None:
    (rule,) = properties(bucket)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Fn::GetAtt": ["StoreKey", "Arn"]},
    }


@pytest.mark.parametrize("bucket", FACES)
def test_an_upload_can_choose_no_other_encryption_and_no_other_key(bucket: str) -> None:
    denied = {s["Sid"]: s for s in statements(properties(f"{bucket}Policy")["PolicyDocument"]) if s["Effect"] == "Deny"}
    for sid in ("NoOtherEncryption", "NoOtherKey"):
        assert denied[sid]["Action"] == "s3:PutObject"
        assert place(denied[sid]["Resource"]) == f"{bucket}/*"
    # An upload that says nothing about encryption gets the bucket's: the links are made so.
    assert denied["NoOtherEncryption"]["Condition"] == {
        "Null": {"s3:x-amz-server-side-encryption": "false"},
        "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
    }
    assert denied["NoOtherKey"]["Condition"] == {
        "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"},
        "ArnNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": {"Fn::GetAtt": ["StoreKey", "Arn"]}},
    }


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_keeps_versions_and_is_closed_to_the_public(bucket: str) -> None:
    described = properties(bucket)
    assert described["VersioningConfiguration"] == {"Status": "Enabled"}
    assert described["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert described["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    assert described["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_reached_by_tls_alone_of_a_version_that_is_still_trusted(bucket: str) -> None:
    policy = properties(f"{bucket}Policy")
    assert policy["Bucket"] == {"Ref": bucket}
    assert denies_plain_http(policy["PolicyDocument"], bucket, f"{bucket}/*")
    (old,) = [s for s in statements(policy["PolicyDocument"]) if "NumericLessThan" in s.get("Condition", {})]
    assert (old["Effect"], old["Principal"], old["Action"]) == ("Deny", "*", "s3:*")
    assert old["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_unfinished_uploads_and_replaced_versions_go(bucket: str) -> None:
    assert _rule(bucket, "AbortIncompleteMultipartUpload")["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 7
    assert _rule(bucket, "NoncurrentVersionExpiration")["NoncurrentVersionExpiration"]["NoncurrentDays"] <= 7
    assert _rule(bucket, "ExpiredObjectDeleteMarker")["ExpiredObjectDeleteMarker"] is True
    for rule in properties(bucket)["LifecycleConfiguration"]["Rules"]:
        assert "Prefix" not in rule
        assert "TagFilters" not in rule


def test_probes_expire_when_the_parameter_says_and_photos_do_not() -> None:
    assert _rule("ProbesBucket", "ExpirationInDays")["ExpirationInDays"] == {"Ref": "ProbeRetentionDays"}
    assert _rule("AccessLogsBucket", "ExpirationInDays")["ExpirationInDays"] == {"Ref": "LogRetentionDays"}
    rules = properties("PhotosBucket")["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule or "ExpirationDate" in rule]


def test_photos_tell_the_event_bus() -> None:
    told = properties("PhotosBucket")["NotificationConfiguration"]
    assert told == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


@pytest.mark.parametrize(("bucket", "prefix"), [("PhotosBucket", "photos/"), ("ProbesBucket", "probes/")])
def test_the_use_of_a_link_to_an_image_is_logged_where_only_s3_can_write(bucket: str, prefix: str) -> None:
    logging = properties(bucket)["LoggingConfiguration"]
    assert logging["DestinationBucketName"] == {"Ref": "AccessLogsBucket"}
    assert logging["LogFilePrefix"] == prefix
    (writer,) = [
        s for s in statements(properties("AccessLogsBucketPolicy")["PolicyDocument"]) if s["Effect"] == "Allow"
    ]
    assert writer["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert f"AccessLogsBucket/{prefix}*" in {place(one) for one in as_list(writer["Resource"])}
    assert {"Fn::GetAtt": [bucket, "Arn"]} in writer["Condition"]["ArnEquals"]["aws:SourceArn"]


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_table_is_encrypted_and_forgets_what_expired(table: str) -> None:
    described = properties(table)
    assert described["SSESpecification"] == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": {"Fn::GetAtt": ["StoreKey", "Arn"]},
    }
    assert described["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert described["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_records_is_recoverable_and_protected(table: str) -> None:
    described = properties(table)
    assert described["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert described["DeletionProtectionEnabled"] is True


@pytest.mark.parametrize(("table", "in_tests"), ALL_TABLES.items())
def test_a_table_has_the_keys_that_the_other_tests_work_with(table: str, in_tests: str) -> None:
    def names(keys: list[dict[str, str]]) -> tuple[str, ...]:
        assert [key["KeyType"] for key in keys] == ["HASH", "RANGE"]
        return tuple(key["AttributeName"] for key in keys)

    described = properties(table)
    assert names(described["KeySchema"]) == ("pk", "sk")
    indexes = {one["IndexName"]: names(one["KeySchema"]) for one in described.get("GlobalSecondaryIndexes", [])}
    assert indexes == aws._INDEXES[in_tests]
    for one in described.get("GlobalSecondaryIndexes", []):
        assert one["Projection"] == {"ProjectionType": "ALL"}
    used = {"pk", "sk"} | {attribute for keys in indexes.values() for attribute in keys}
    declared = {one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]}
    assert declared == dict.fromkeys(used, "S")


def test_the_stream_of_changes_carries_keys_alone() -> None:
    assert properties("GalleryTable")["StreamSpecification"] == {"StreamViewType": "KEYS_ONLY"}
    for table in ("CaseworkTable", "LimitsTable"):
        assert "StreamSpecification" not in properties(table)


@pytest.mark.parametrize("store", [*BUCKETS, *TABLES, "StoreKey", "MessagesKey", "LogsKey"])
def test_what_is_kept_outlives_the_stack(store: str) -> None:
    resource = transformed()["Resources"][store]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"
