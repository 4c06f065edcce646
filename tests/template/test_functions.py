"""The functions: how they are packed, what they are told, and the least that each needs."""

from __future__ import annotations

import dataclasses
import re

import pytest

from candid import settings
from tests.template.system import (
    BEHIND_AN_API,
    DEAD_LETTER_QUEUES,
    FUNCTIONS,
    IMAGES,
    ZIPS,
    as_list,
    function,
    place,
    properties,
    resources,
    role_statements,
    template,
)

SETTINGS = {
    "authorizer": settings.AuthorizerSettings,
    "ingest": settings.IngestSettings,
    "casework": settings.CaseworkSettings,
    "search": settings.SearchSettings,
    "rekognition": settings.RekognitionSettings,
    "embed": settings.EmbedSettings,
    "index": settings.IndexSettings,
    "redrive": settings.RedriveSettings,
    "roles": settings.RolesSettings,
}
SET_ELSEWHERE = {"CANDID_MODELS", "AWS_REGION"}
"""By the image, and by Lambda."""
COUNTED = set(BEHIND_AN_API) - {"authorizer"}
"""The functions that count requests before they answer."""

TABLE_KEY = {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}
ITEMS = {
    f"dynamodb:{verb}" for verb in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem", "Query")
}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
NETWORK = {
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}
REMINDERS = {
    "ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", "reminded_at"]},
    "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]},
}
SHARES = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["READER#*"]}}
DROPPED = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["DEADLETTERS"]}}
TAKE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}
IN_THE_VPC = {
    "*": TRACES | NETWORK,
    "OpenSearchSecretArn": {"secretsmanager:GetSecretValue"},
}

MAY = {
    "authorizer": {"AuthorizerLogs": LOGS, "*": TRACES},
    "ingest": {
        "IngestLogs": LOGS,
        "*": TRACES,
        "LimitsTable": {"dynamodb:UpdateItem"},
        "GalleryTable": ITEMS - {"dynamodb:DeleteItem"},
        "GalleryTable/index/by-agency": {"dynamodb:Query"},
        "GalleryTable/index/by-agency-state": {"dynamodb:Query"},
        "PhotosBucket/*": {"s3:PutObject"},
        "StoreKey via dynamodb": TABLE_KEY,
        "StoreKey via s3": {"kms:GenerateDataKey"},
    },
    "casework": {
        "CaseworkLogs": LOGS,
        "*": TRACES,
        "LimitsTable": {"dynamodb:UpdateItem"},
        "CaseworkTable": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"},
        "CredentialsKey": {"kms:GenerateMac"},
        "GalleryTable, shares alone": {"dynamodb:GetItem"},
        "CaseworkTable/index/by-agency": {"dynamodb:Query"},
        "CaseworkTable/index/by-officer": {"dynamodb:Query"},
        "CaseworkTable/index/by-case": {"dynamodb:Query"},
        "PhotosBucket/*": {"s3:GetObject", "s3:GetObjectVersion"},
        "ProbesBucket/*": {"s3:PutObject"},
        "StoreKey via dynamodb": TABLE_KEY,
        "StoreKey via s3": {"kms:Decrypt", "kms:GenerateDataKey"},
    },
    "search": {
        "SearchLogs": LOGS,
        **IN_THE_VPC,
        "LimitsTable": {"dynamodb:UpdateItem"},
        "CaseworkTable": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
        "GalleryTable": {"dynamodb:Query"},
        "GalleryTable, shares alone": {"dynamodb:GetItem"},
        "PhotosBucket/*": {"s3:GetObject", "s3:GetObjectVersion"},
        "ProbesBucket/*": {"s3:GetObject", "s3:PutObject"},
        "ProbesBucket": {"s3:ListBucket"},
        "StoreKey via dynamodb": TABLE_KEY,
        "StoreKey via s3": {"kms:Decrypt", "kms:GenerateDataKey"},
        "Domain/*": {"es:ESHttpGet", "es:ESHttpPost"},
    },
    "rekognition": {
        "RekognitionLogs": LOGS,
        **IN_THE_VPC,
        "LimitsTable": {"dynamodb:UpdateItem"},
        "CaseworkTable": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"},
        "GalleryTable": (ITEMS - {"dynamodb:DeleteItem"}) | {"dynamodb:BatchGetItem"},
        "GalleryTable/index/by-agency": {"dynamodb:Query"},
        "PhotosBucket/*": {"s3:PutObject"},
        "ProbesBucket/*": {"s3:PutObject"},
        "ImageObjects": {"s3:GetObject", "s3:GetObjectVersion"},
        "ImageKeys via s3": {"kms:Decrypt"},
        "CredentialsKey": {"kms:GenerateMac"},
        "StoreKey via dynamodb": TABLE_KEY,
        "StoreKey via s3": {"kms:GenerateDataKey"},
        "Domain/*": {"es:ESHttpGet", "es:ESHttpPost"},
    },
    "embed": {
        "EmbedLogs": LOGS,
        **IN_THE_VPC,
        "PhotosQueue": TAKE,
        "ChangesDeadLetterQueue": {"sqs:SendMessage"},
        "PhotosDeadLetterQueue": {"sqs:SendMessage"},
        "MessagesKey via sqs": {"kms:Decrypt", "kms:GenerateDataKey"},
        "GalleryTable.StreamArn": {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"},
        "GalleryTable/stream/*": {"dynamodb:ListStreams"},
        "GalleryTable": ITEMS | {"dynamodb:BatchGetItem"},
        "GalleryTable/index/by-agency": {"dynamodb:Query"},
        "PhotosBucket/*": {"s3:GetObject", "s3:DeleteObjectVersion"},
        "PhotosBucket": {"s3:ListBucket", "s3:ListBucketVersions"},
        "StoreKey via dynamodb": TABLE_KEY,
        "StoreKey via s3": {"kms:Decrypt"},
        "EventBus": {"events:PutEvents"},
        "Domain/*": {"es:ESHttpGet", "es:ESHttpPost"},
    },
    "index": {
        "IndexLogs": LOGS,
        **IN_THE_VPC,
        "GalleryTable": {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"},
        "GalleryTable, reminders alone": {"dynamodb:UpdateItem"},
        "PhotosBucket": {"s3:ListBucket", "s3:ListBucketVersions"},
        "PhotosQueue": {"sqs:SendMessage", "sqs:GetQueueAttributes"},
        "MessagesKey via sqs": {"kms:Decrypt", "kms:GenerateDataKey"},
        "StoreKey via dynamodb": TABLE_KEY,
        "Domain/*": {"es:ESHttpDelete", "es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut"},
    },
    "redrive": {
        "RedriveLogs": LOGS,
        "*": TRACES,
        **dict.fromkeys(DEAD_LETTER_QUEUES, TAKE),
        "PhotosQueue": {"sqs:SendMessage", "sqs:GetQueueAttributes"},
        "MessagesKey via sqs": {"kms:Decrypt", "kms:GenerateDataKey"},
        "EventBus": {"events:PutEvents"},
        "GalleryTable": {"dynamodb:Scan"},
        "GalleryTable, reminders alone": {"dynamodb:UpdateItem"},
        "GalleryTable, dropped letters alone": {"dynamodb:PutItem", "dynamodb:Query"},
        "StoreKey via dynamodb": TABLE_KEY,
    },
    "roles": {
        "RolesLogs": LOGS,
        **IN_THE_VPC,
        "Domain/*": {"es:ESHttpGet", "es:ESHttpPut"},
    },
}
"""What each function may do, and to what. An entry more here is a decision, not a repair of a test."""


def test_these_are_all_the_functions() -> None:
    assert set(resources("AWS::Lambda::Function")) == {f"{name.capitalize()}Function" for name in FUNCTIONS}


@pytest.mark.parametrize("name", ZIPS)
def test_a_function_that_never_sees_a_face_is_a_zip(name: str) -> None:
    assert function(name)["Runtime"] == "python3.11"
    assert function(name)["Handler"] == f"{name}.app.handler"
    assert "PackageType" not in function(name)
    assert template()["Resources"][f"{name.capitalize()}Function"]["Properties"]["CodeUri"] == ".build/functions"


@pytest.mark.parametrize("name", IMAGES)
def test_the_functions_that_see_faces_share_one_image(name: str) -> None:
    assert function(name)["PackageType"] == "Image"
    assert function(name)["Code"] == {"ImageUri": {"Ref": "FacesImageUri"}}
    # The domain's master has a handler that can do nothing but give others their roles.
    handler = "index.roles.handler" if name == "roles" else f"{name}.app.handler"
    assert function(name)["ImageConfig"] == {"Command": [handler]}
    assert "Runtime" not in function(name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_traced_and_instrumented_and_its_traces_hold_no_content(name: str) -> None:
    assert function(name)["TracingConfig"] == {"Mode": "Active"}
    told = function(name)["Environment"]["Variables"]
    assert told["POWERTOOLS_SERVICE_NAME"] == name
    assert told["POWERTOOLS_METRICS_NAMESPACE"] == "Candid"
    assert told["POWERTOOLS_LOG_LEVEL"] == {"Ref": "LogLevel"}
    assert told["POWERTOOLS_TRACER_CAPTURE_RESPONSE"] == "false"
    assert told["POWERTOOLS_TRACER_CAPTURE_ERROR"] == "false"
    assert "POWERTOOLS_LOGGER_LOG_EVENT" not in told


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_what_its_settings_read_and_nothing_else(name: str) -> None:
    told = {v for v in function(name)["Environment"]["Variables"] if not v.startswith("POWERTOOLS_")}
    read = [SETTINGS[name], *([settings.LimitSettings] if name in COUNTED else [])]
    assert told == {field.name.upper() for one in read for field in dataclasses.fields(one)} - SET_ELSEWHERE


@pytest.mark.parametrize("name", IMAGES)
def test_two_stacks_on_one_domain_have_indexes_of_their_own_unless_an_operator_says_otherwise(name: str) -> None:
    assert function(name)["Environment"]["Variables"]["OPENSEARCH_PREFIX"] == {
        "Fn::If": ["HasOpenSearchPrefix", {"Ref": "OpenSearchPrefix"}, {"Ref": "AWS::StackName"}]
    }


def test_the_index_is_reached_by_tls_or_not_at_all_except_on_this_machine() -> None:
    allowed = re.compile(template()["Parameters"]["OpenSearchEndpoint"]["AllowedPattern"])
    for endpoint in (
        "",
        "https://vpc-candid.us-east-1.es.amazonaws.com",
        "https://[::1]:9200",
        "http://127.0.0.1:9200",
    ):
        assert allowed.fullmatch(endpoint), endpoint
    for endpoint in (
        "http://10.0.0.1:9200",
        "http://127.0.0.1.example.org",
        "https://a/b",
        "https://user:word@host",
        "search",
    ):
        assert not allowed.fullmatch(endpoint), endpoint


def test_a_prefix_can_hold_neither_the_separator_nor_what_opensearch_refuses() -> None:
    allowed = re.compile(template()["Parameters"]["OpenSearchPrefix"]["AllowedPattern"])
    assert all(allowed.fullmatch(prefix) for prefix in ("", "candid", "candid-2"))
    assert not any(allowed.fullmatch(prefix) for prefix in ("can_did", "Candid", "-candid", "c*", "c,d", "c" * 41))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_its_own_role_name_and_room(name: str) -> None:
    described = function(name)
    assert described["FunctionName"] == {"Fn::Sub": f"${{AWS::StackName}}-{name}"}
    assert described["Role"] == {"Fn::GetAtt": [f"{name.capitalize()}Role", "Arn"]}
    assert described["Architectures"] == [{"Ref": "Architecture"}]
    # It would take its share from an account that has ten.
    assert "ReservedConcurrentExecutions" not in described


def test_no_function_behind_the_api_outlasts_the_gateway() -> None:
    assert all(function(name)["Timeout"] <= 29 for name in BEHIND_AN_API)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_do_what_the_table_says_and_nothing_else(name: str) -> None:
    may: dict[str, set[str]] = {}
    for role, statement in role_statements():
        if role != f"{name.capitalize()}Role" or statement["Effect"] == "Deny":
            continue
        assert statement["Effect"] == "Allow"
        assert "NotAction" not in statement
        for resource in as_list(statement["Resource"]):
            where = place(resource)
            if statement.get("Condition") == REMINDERS:
                where += ", reminders alone"
            elif statement.get("Condition") == SHARES:
                where += ", shares alone"
            elif statement.get("Condition") == DROPPED:
                where += ", dropped letters alone"
            elif "Condition" in statement:
                (condition,) = statement["Condition"].values()
                where += f" via {condition['kms:ViaService']['Fn::Sub'].split('.')[0]}"
            may.setdefault(where, set()).update(as_list(statement["Action"]))
    assert may == MAY[name]


def test_only_traces_and_network_interfaces_are_allowed_on_everything() -> None:
    for _, statement in role_statements():
        if "*" in as_list(statement["Resource"]):
            assert set(as_list(statement["Action"])) in (TRACES, NETWORK)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda_makes_network_interfaces_for_the_functions_in_the_vpc_and_their_own_code_may_not(name: str) -> None:
    denied = [
        statement
        for role, statement in role_statements()
        if role == f"{name.capitalize()}Role" and statement["Effect"] == "Deny"
    ]
    if name not in IMAGES:
        assert not denied
        return
    (statement,) = denied
    assert set(statement["Action"]) == NETWORK
    arn = f"arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:${{AWS::StackName}}-{name}"
    assert statement["Condition"] == {"ArnEquals": {"lambda:SourceFunctionArn": {"Fn::Sub": arn}}}


def test_no_action_is_a_pattern_except_kms_families() -> None:
    for _, statement in role_statements():
        patterns = {action for action in as_list(statement["Action"]) if "*" in action}
        assert patterns <= {"kms:ReEncrypt*", "kms:GenerateDataKey*"}


def test_keys_are_used_through_their_services_alone_but_for_the_one_that_makes_secrets() -> None:
    for _, statement in role_statements():
        if as_list(statement["Action"]) == ["kms:GenerateMac"]:
            assert place(statement["Resource"]) == "CredentialsKey"
        elif any(action.startswith("kms:") for action in as_list(statement["Action"])):
            assert statement["Condition"]["StringEquals"]["kms:ViaService"]


def test_no_role_has_a_policy_that_is_not_written_here_except_the_gateways() -> None:
    for name, role in resources("AWS::IAM::Role").items():
        managed = role["Properties"].get("ManagedPolicyArns", [])
        if name == "ApiAccountRole":
            (policy,) = managed
            assert policy["Fn::Sub"].endswith(":aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
        else:
            assert not managed
            assert role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {
                "Service": "lambda.amazonaws.com"
            }
    assert not resources("AWS::IAM::ManagedPolicy")
    assert not resources("AWS::IAM::Policy")


@pytest.mark.parametrize("name", BEHIND_AN_API)
def test_only_this_stacks_api_may_invoke_a_function(name: str) -> None:
    permission = properties(f"{name.capitalize()}Permission")
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["FunctionName"] == {"Ref": f"{name.capitalize()}Function"}
    ends = {"authorizer": "${Api}/authorizers/*", "rekognition": "${RekognitionApi}/candid/POST/"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(f":${{AWS::AccountId}}:{ends.get(name, '${Api}/candid/*/v1/*')}")
    assert len(resources("AWS::Lambda::Permission")) == len(BEHIND_AN_API)
