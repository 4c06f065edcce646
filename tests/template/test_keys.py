"""The customer's keys: who may use them, and through what."""

from __future__ import annotations

import pytest

from tests.template.system import as_list, properties, resources, statements, transformed

KEYS = ("StoreKey", "MessagesKey", "LogsKey", "IndexKey")
_USE = (
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:ReEncrypt*",
    "kms:GenerateDataKey",
    "kms:GenerateDataKey*",
    "kms:CreateGrant",
)


def test_these_are_all_the_keys() -> None:
    assert set(resources("AWS::KMS::Key")) == {*KEYS, "CredentialsKey"}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_rotates_and_can_not_be_gone_in_a_week(key: str) -> None:
    assert properties(key)["EnableKeyRotation"] is True
    assert properties(key)["PendingWindowInDays"] == 30


@pytest.mark.parametrize("key", KEYS)
def test_nobody_may_do_everything_with_a_key(key: str) -> None:
    for statement in statements(properties(key)["KeyPolicy"]):
        assert statement["Effect"] == "Allow"
        assert not {"*", "kms:*"} & set(as_list(statement["Action"]))
        assert statement["Principal"] != "*"
        assert statement["Principal"].get("AWS") != "*"


@pytest.mark.parametrize("key", KEYS)
def test_whoever_administers_a_key_can_not_use_it_and_uses_are_bound(key: str) -> None:
    for statement in statements(properties(key)["KeyPolicy"]):
        uses = set(_USE) & set(as_list(statement["Action"]))
        if statement["Sid"] == "Administration":
            assert not uses
        elif uses:
            condition = str(statement["Condition"])
            account = {"kms:CallerAccount", "aws:SourceAccount", "kms:EncryptionContext:aws:logs:arn"}
            assert any(name in condition for name in account)
            if "AWS" in statement["Principal"]:
                assert statement["Condition"]["StringEquals"]["kms:ViaService"]


def test_a_key_serves_the_services_that_it_is_for() -> None:
    def through(key: str) -> set[str]:
        found: set[str] = set()
        for statement in statements(properties(key)["KeyPolicy"]):
            via = statement.get("Condition", {}).get("StringEquals", {}).get("kms:ViaService", [])
            found |= {one["Fn::Sub"].split(".")[0] for one in via}
        return found

    assert through("StoreKey") == {"s3", "dynamodb"}
    assert through("MessagesKey") == {"sqs", "events"}
    assert through("LogsKey") == set()
    assert through("IndexKey") == {"es"}


def test_the_key_of_the_index_goes_with_the_domain_so_that_nobody_reads_its_snapshots_any_more() -> None:
    key = transformed()["Resources"]["IndexKey"]
    assert key["Condition"] == transformed()["Resources"]["Domain"]["Condition"]
    assert key["DeletionPolicy"] == "Delete"
    assert key["UpdateReplacePolicy"] == "Retain"


def test_eventbridge_can_write_into_the_encrypted_queues() -> None:
    (statement,) = [s for s in statements(properties("MessagesKey")["KeyPolicy"]) if s["Sid"] == "EventBridgeEncrypts"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert set(statement["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_key_of_the_credentials_makes_macs_and_nothing_else_and_its_administrators_make_none() -> None:
    key = properties("CredentialsKey")
    assert (key["KeySpec"], key["KeyUsage"]) == ("HMAC_256", "GENERATE_VERIFY_MAC")
    administration, use = statements(key["KeyPolicy"])
    assert not any("Mac" in action or action == "kms:*" for action in administration["Action"])
    assert use["Action"] == "kms:GenerateMac"
    assert use["Condition"] == {
        "StringEquals": {"kms:CallerAccount": {"Ref": "AWS::AccountId"}, "kms:MacAlgorithm": "HMAC_SHA_256"}
    }


def test_the_logs_key_serves_this_stacks_log_groups_alone() -> None:
    (statement,) = [s for s in statements(properties("LogsKey")["KeyPolicy"]) if "Service" in s["Principal"]]
    patterns = [one["Fn::Sub"] for one in statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]]
    assert all("${AWS::StackName}-*" in pattern and "${AWS::AccountId}" in pattern for pattern in patterns)
    for group in resources("AWS::Logs::LogGroup").values():
        name = group["Properties"]["LogGroupName"]["Fn::Sub"]
        assert any(name.startswith(pattern.split(":log-group:")[1].rstrip("*")) for pattern in patterns)
