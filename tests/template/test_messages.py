"""The way of a photo and of a change: rule, queues, event sources. Nothing on it is lost silently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.template.system import (
    DEAD_LETTER_QUEUES,
    QUEUES,
    denies_plain_http,
    function,
    properties,
    resources,
    statements,
)


def _arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def _sources() -> dict[str, dict[str, Any]]:
    """Embed's event sources by what they read."""
    return {
        mapping["Properties"]["EventSourceArn"]["Fn::GetAtt"][0]: mapping["Properties"]
        for mapping in resources("AWS::Lambda::EventSourceMapping").values()
    }


def test_these_are_all_the_queues() -> None:
    assert set(resources("AWS::SQS::Queue")) == set(QUEUES)


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_is_encrypted_with_the_customers_key_and_reached_by_tls_alone(queue: str) -> None:
    assert properties(queue)["KmsMasterKeyId"] == _arn("MessagesKey")
    policy = properties(f"{queue}Policy")
    assert policy["Queues"] == [{"Ref": queue}]
    assert denies_plain_http(policy["PolicyDocument"], queue)


@pytest.mark.parametrize(
    ("queue", "sender"),
    [
        ("PhotosQueue", "rule/${AWS::StackName}-photos"),
        ("PhotosRuleDeadLetterQueue", "rule/${AWS::StackName}-photos"),
        ("EventsDeadLetterQueue", "event-bus/${AWS::StackName}-events"),
        ("PhotosDeadLetterQueue", None),
        ("ChangesDeadLetterQueue", None),
    ],
)
def test_only_the_one_sender_may_write_into_a_queue(queue: str, sender: str | None) -> None:
    allowed = [s for s in statements(properties(f"{queue}Policy")["PolicyDocument"]) if s["Effect"] == "Allow"]
    if sender is None:
        assert not allowed
        return
    (statement,) = allowed
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == _arn(queue)
    arn = f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:{sender}"
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::Sub": arn}}}


def test_the_senders_have_the_names_that_the_queues_policies_say() -> None:
    assert properties("PhotosRule")["Name"] == {"Fn::Sub": "${AWS::StackName}-photos"}
    assert properties("EventBus")["Name"] == {"Fn::Sub": "${AWS::StackName}-events"}


def test_the_rule_hears_of_photos_that_come_and_go_and_of_no_other_bucket() -> None:
    rule = properties("PhotosRule")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created", "Object Deleted"],
        "detail": {"bucket": {"name": [{"Ref": "PhotosBucket"}]}},
    }
    assert "EventBusName" not in rule
    assert rule.get("State", "ENABLED") == "ENABLED"


def test_what_the_rule_can_not_deliver_is_retried_for_a_day_and_then_put_aside() -> None:
    (target,) = properties("PhotosRule")["Targets"]
    assert target["Arn"] == _arn("PhotosQueue")
    assert target["DeadLetterConfig"] == {"Arn": _arn("PhotosRuleDeadLetterQueue")}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 86400
    # EventBridge delivers to encrypted queues by the queue's policy, not by a role.
    assert "RoleArn" not in target


def test_a_message_stays_hidden_for_six_of_embeds_time_outs() -> None:
    assert properties("PhotosQueue")["VisibilityTimeout"] >= 6 * function("embed")["Timeout"]


def test_a_photo_that_fails_five_times_is_put_aside() -> None:
    redrive = properties("PhotosQueue")["RedrivePolicy"]
    assert redrive == {"deadLetterTargetArn": _arn("PhotosDeadLetterQueue"), "maxReceiveCount": 5}
    # Embed does it at the fifth time with the reason, before SQS would.
    assert function("embed")["Environment"]["Variables"]["PHOTOS_RECEIVES"] == "5"
    allowed = properties("PhotosDeadLetterQueue")["RedriveAllowPolicy"]
    assert allowed["redrivePermission"] == "byQueue"
    (source,) = allowed["sourceQueueArns"]
    assert source["Fn::Sub"].endswith(":" + properties("PhotosQueue")["QueueName"]["Fn::Sub"])


@pytest.mark.parametrize("queue", DEAD_LETTER_QUEUES)
def test_what_was_put_aside_is_kept_as_long_as_sqs_can(queue: str) -> None:
    assert properties(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert "RedrivePolicy" not in properties(queue)


def test_embed_reads_the_queue_and_the_stream_and_answers_message_by_message() -> None:
    sources = _sources()
    assert set(sources) == {"PhotosQueue", "GalleryTable"}
    for source in sources.values():
        assert source["FunctionName"] == {"Ref": "EmbedFunction"}
        assert source["BatchSize"] == 10
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source.get("Enabled", True) is True
    assert 2 <= sources["PhotosQueue"]["ScalingConfig"]["MaximumConcurrency"] <= 100


def test_the_stream_wakes_embed_for_changes_alone() -> None:
    source = _sources()["GalleryTable"]
    assert source["EventSourceArn"] == {"Fn::GetAtt": ["GalleryTable", "StreamArn"]}
    (pattern,) = source["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"Keys": {"sk": {"S": ["CHANGE"]}}},
    }


def test_a_change_that_fails_is_retried_for_hours_alone_and_then_put_aside() -> None:
    source = _sources()["GalleryTable"]
    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["BisectBatchOnFunctionError"] is True
    assert 3600 <= source["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert source["MaximumRetryAttempts"] > 0
    assert source["DestinationConfig"] == {"OnFailure": {"Destination": _arn("ChangesDeadLetterQueue")}}


def test_candids_own_bus_is_encrypted_and_puts_aside_what_it_can_not_encrypt() -> None:
    bus = properties("EventBus")
    assert bus["KmsKeyIdentifier"] == _arn("MessagesKey")
    assert bus["DeadLetterConfig"] == {"Arn": _arn("EventsDeadLetterQueue")}
