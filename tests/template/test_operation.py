"""The API's stage, logs, alarms, parameters, outputs and names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from infra.local.rekognition_front import handed_on

from tests.refusals import wrong
from tests.template.system import (
    CHECKOUT,
    DEAD_LETTER_QUEUES,
    FUNCTIONS,
    dashboard,
    function,
    properties,
    resources,
    template,
    transformed,
)


def _alarms() -> list[dict[str, Any]]:
    return [alarm["Properties"] for alarm in resources("AWS::CloudWatch::Alarm").values()]


def _alarm(metric: str, **dimensions: Any) -> dict[str, Any]:
    """The one alarm on ``metric`` with these dimensions."""
    wanted = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    (found,) = [one for one in _alarms() if one.get("MetricName") == metric and one["Dimensions"] == wanted]
    return found


@pytest.mark.parametrize("name", ["ApicandidStage", "RekognitionApicandidStage"])
def test_a_stage_logs_traces_and_throttles_and_there_is_no_other_stage(name: str) -> None:
    assert len(resources("AWS::ApiGateway::Stage")) == 2
    stage = properties(name)
    assert stage["StageName"] == "candid"
    assert stage["TracingEnabled"] is True
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}
    everything = next(s for s in stage["MethodSettings"] if (s["ResourcePath"], s["HttpMethod"]) == ("/*", "*"))
    assert everything["ThrottlingRateLimit"] > 0
    assert everything["ThrottlingBurstLimit"] > 0
    for setting in stage["MethodSettings"]:
        assert setting["DataTraceEnabled"] is False
        assert setting["LoggingLevel"] == "OFF"
        assert setting["CachingEnabled"] is False
        assert setting["MetricsEnabled"] is True
    for deployment in resources("AWS::ApiGateway::Deployment").values():
        assert "StageName" not in deployment["Properties"]


def test_an_agency_has_a_plan_of_its_own_at_the_stage_and_a_key_that_the_authorizer_can_name() -> None:
    plan = properties("AgencyUsagePlan")
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "ApicandidStage"}}]
    assert plan["Throttle"] == {
        "RateLimit": {"Ref": "AgencyRequestsPerSecond"},
        "BurstLimit": {"Ref": "AgencyRequestsBurst"},
    }
    (prefix,) = function("authorizer")["Environment"]["Variables"]["USAGE_KEY_PREFIX"].values()
    assert prefix == "candid-usage-plan-${AWS::StackName}-"


@pytest.mark.parametrize(
    ("name", "route"), [("ApicandidStage", "$context.resourcePath"), ("RekognitionApicandidStage", "rekognition")]
)
def test_an_access_log_line_is_json_without_addresses_names_paths_or_queries(name: str, route: str) -> None:
    line = json.loads(properties(name)["AccessLogSetting"]["Format"])
    assert line["request_id"] == "$context.requestId"
    assert line["route"] == route
    assert line["status"] == "$context.status"
    told = " ".join(line.values())
    assert not [
        word
        for word in ("identity", "$context.path", "querystring", "authorizer.principalId", "authorizer.user", "agency")
        if word in told
    ]


def test_the_api_takes_modern_tls_and_forms_with_images() -> None:
    api = properties("Api")
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_")
    assert api["EndpointAccessMode"] == "STRICT"
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert api["BinaryMediaTypes"] == ["multipart/form-data"]


def test_the_accounts_role_for_api_logs_is_there_before_the_stage_and_can_be_somebody_elses() -> None:
    resource = transformed()["Resources"]
    assert resource["Api"]["DependsOn"] == "ApiAccount"
    for name in ("ApiAccount", "ApiAccountRole"):
        assert resource[name]["Condition"] == "CreatesApiLogsRole"
    assert resource["ApiAccountRole"]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize("name", [*FUNCTIONS, "api"])
def test_logs_are_kept_as_long_as_the_parameter_says_and_encrypted(name: str) -> None:
    group = properties(f"{name.capitalize()}Logs")
    path = "/aws/apigateway/${AWS::StackName}-api" if name == "api" else f"/aws/lambda/${{AWS::StackName}}-{name}"
    assert group["LogGroupName"] == {"Fn::Sub": path}
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert group["KmsKeyId"] == {"Fn::GetAtt": ["LogsKey", "Arn"]}
    if name != "api":
        logging = properties(f"{name.capitalize()}Function")["LoggingConfig"]
        assert logging == {"LogGroup": {"Ref": f"{name.capitalize()}Logs"}}


@pytest.mark.parametrize(
    ("queue", "way"), list(zip(DEAD_LETTER_QUEUES, ("photos", "photo-events", "changes", "events"), strict=True))
)
def test_an_alarm_rings_for_the_first_message_that_was_put_aside_and_says_what_to_run(queue: str, way: str) -> None:
    alarm = _alarm("ApproximateNumberOfMessagesVisible", QueueName={"Fn::GetAtt": [queue, "QueueName"]})
    assert (alarm["Threshold"], alarm["ComparisonOperator"], alarm["Statistic"]) == (
        0,
        "GreaterThanThreshold",
        "Maximum",
    )
    command = f"`candid redrive start --all --way {way} --stack ${{AWS::StackName}}`"
    assert command in alarm["AlarmDescription"]["Fn::Sub"]


def test_an_alarm_rings_for_photos_and_changes_that_wait() -> None:
    photos = _alarm("ApproximateAgeOfOldestMessage", QueueName={"Fn::GetAtt": ["PhotosQueue", "QueueName"]})
    assert photos["Threshold"] <= 3600
    changes = _alarm("IteratorAge", FunctionName={"Ref": "EmbedFunction"})
    assert changes["Threshold"] <= 3600 * 1000


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_alarm_rings_for_a_functions_errors_and_throttles(name: str) -> None:
    dimension = {"Ref": f"{name.capitalize()}Function"}
    errors, throttles = _alarm("Errors", FunctionName=dimension), _alarm("Throttles", FunctionName=dimension)
    assert errors["Statistic"] == throttles["Statistic"] == "Sum"
    # A refused token is an error of the authorizer's: that is how API Gateway is told.
    assert errors["Threshold"] == (50 if name == "authorizer" else 0)
    assert throttles["Threshold"] == 0


def test_an_alarm_rings_for_failures_of_the_api_and_of_the_rule() -> None:
    assert _alarm("5XXError", ApiName={"Fn::Sub": "${AWS::StackName}-api"}, Stage="candid")["Statistic"] == "Sum"
    assert properties("Api")["Name"] == {"Fn::Sub": "${AWS::StackName}-api"}
    assert _alarm("InvocationsFailedToBeSentToDlq", RuleName={"Ref": "PhotosRule"})


def test_every_alarm_says_what_to_do_and_reaches_the_topic_if_there_is_one() -> None:
    for alarm in _alarms():
        said = alarm["AlarmDescription"]
        said = said["Fn::Sub"] if isinstance(said, dict) else said
        assert len(said.split(". ")) >= 2
        assert len(said) <= 1024
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], []]}


def test_the_dashboard_shows_what_the_stack_has_and_fits_its_grid() -> None:
    known = set(transformed()["Resources"])
    for widget in dashboard():
        for metric in widget["metrics"]:
            for reference in re.findall(r"\$\{([^}]+)\}", json.dumps(metric)):
                assert reference.startswith("AWS::") or reference.split(".")[0] in known
        assert widget["region"] == "${AWS::Region}"
    (one,) = resources("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(one["Properties"]["DashboardBody"]["Fn::Sub"])["widgets"]
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets)
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)


def test_parameters_and_outputs_are_those_that_others_count_on() -> None:
    parameters = template()["Parameters"]
    required = {name for name, parameter in parameters.items() if "Default" not in parameter}
    assert required == {"FacesImageUri", "TokenIssuer", "TokenJwksUrl"}
    defaults = {name: parameter["Default"] for name, parameter in parameters.items() if name not in required}
    assert defaults == {
        "Architecture": "arm64",
        "ImageObjects": "",
        "ImageKeys": "",
        "OpenSearchEndpoint": "",
        "OpenSearchPrefix": "",
        "OpenSearchAuth": "",
        "OpenSearchSecretArn": "",
        "OpenSearchCaFile": "",
        "OpenSearchDomainName": "",
        "OpenSearchDomain": "none",
        "OpenSearchVersion": "OpenSearch_2.19",
        "OpenSearchInstanceType": "r7g.medium.search",
        "OpenSearchInstanceCount": 3,
        "OpenSearchZones": 3,
        "OpenSearchManagerType": "",
        "OpenSearchVolumeGiB": 20,
        "OpenSearchVolumeIops": 0,
        "OpenSearchVolumeThroughput": 0,
        "Vpc": "none",
        "VpcCidr": "10.61.0.0/24",
        "VpcId": "vpc-00000000",
        "VpcSubnetIds": "subnet-none",
        "EmbeddedIndexPath": "",
        "ProbeRetentionDays": 30,
        "LogRetentionDays": 90,
        "LogLevel": "INFO",
        "UserFacesPerHour": 600,
        "AgencyFacesPerHour": 6_000,
        "UserRecordsPerHour": 20_000,
        "AgencyRecordsPerHour": 100_000,
        "AgencyRequestsPerSecond": 20,
        "AgencyRequestsBurst": 40,
        "Model": "sface",
        "RekognitionEndpoint": "",
        "AlarmTopicArn": "",
        "ApiLogsRole": "create",
    }
    assert set(template()["Outputs"]) == {
        "ApiUrl",
        "ApiId",
        "AgencyUsagePlanId",
        "RekognitionApiId",
        "RekognitionUrl",
        "PhotosBucketName",
        "ProbesBucketName",
        "AccessLogsBucketName",
        "PhotosQueueUrl",
        "PhotosDeadLetterQueueUrl",
        "GalleryTableName",
        "CaseworkTableName",
        "EventBusName",
        "RolesRoleArn",
        "OpenSearchEndpointUrl",
        "FunctionsSecurityGroupId",
        *(f"{name.capitalize()}FunctionName" for name in FUNCTIONS),
    }
    assert template()["Outputs"]["ApiUrl"]["Value"]["Fn::Sub"].endswith("/candid")


def test_every_name_begins_with_the_stacks_so_that_two_stacks_can_live_in_one_account() -> None:
    names = {
        "AWS::ApiGateway::UsagePlan": "UsagePlanName",
        "AWS::DynamoDB::Table": "TableName",
        "AWS::SQS::Queue": "QueueName",
        "AWS::Events::EventBus": "Name",
        "AWS::Events::Rule": "Name",
        "AWS::Lambda::Function": "FunctionName",
        "AWS::ApiGateway::RestApi": "Name",
        "AWS::CloudWatch::Alarm": "AlarmName",
        "AWS::CloudWatch::Dashboard": "DashboardName",
        "AWS::KMS::Alias": "AliasName",
        "AWS::Logs::LogGroup": "LogGroupName",
        "AWS::Logs::ResourcePolicy": "PolicyName",
        "AWS::OpenSearchService::Domain": "DomainName",
    }
    for kind, property_name in names.items():
        for resource in resources(kind).values():
            name = resource["Properties"][property_name]["Fn::Sub"]
            assert re.sub("^(alias/|/aws/(lambda|apigateway|opensearch)/)", "", name).startswith("${AWS::StackName}-")
    # CloudFormation names these itself, from the stack's name.
    unnamed = {"AWS::S3::Bucket": "BucketName", "AWS::IAM::Role": "RoleName", "AWS::EC2::SecurityGroup": "GroupName"}
    for kind, property_name in unnamed.items():
        assert not [name for name, one in resources(kind).items() if property_name in one["Properties"]]


def test_the_way_in_of_rekognition_clients_is_an_api_of_its_own_behind_cloudfront() -> None:
    api = template()["Resources"]["RekognitionApi"]["Properties"]
    # A second base64 would take a function's 6 MB.
    assert "BinaryMediaTypes" not in api
    assert list(api["DefinitionBody"]["paths"]) == ["/"]
    assert list(api["DefinitionBody"]["paths"]["/"]) == ["post"]
    config = properties("RekognitionDistribution")["DistributionConfig"]
    behaviour = config["DefaultCacheBehavior"]
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    # CachingDisabled, and AllViewerExceptHostHeader.
    assert behaviour["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert behaviour["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"
    (association,) = behaviour["FunctionAssociations"]
    assert association["EventType"] == "viewer-request"
    (origin,) = config["Origins"]
    assert origin["OriginPath"] == "/candid"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    assert config["ViewerCertificate"] == {"CloudFrontDefaultCertificate": True}


def test_what_the_api_itself_answers_a_rekognition_client_is_an_exception_that_it_raises() -> None:
    told = template()["Resources"]["RekognitionApi"]["Properties"]["DefinitionBody"][
        "x-amazon-apigateway-gateway-responses"
    ]
    assert set(told) == {
        *("REQUEST_TOO_LARGE", "THROTTLED", "MISSING_AUTHENTICATION_TOKEN", "DEFAULT_4XX", "DEFAULT_5XX")
    }
    for response in told.values():
        body = json.loads(response["responseTemplates"]["application/json"])
        assert body.keys() == {"__type", "message"}
        assert wrong(body["message"].replace(" ($context.requestId)", "")) is None
        headers = response["responseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/x-amz-json-1.1'"


SIGNED = CHECKOUT / "infra" / "api" / "signed.js"
SENT = [
    {"authorization": "AWS4-HMAC-SHA256 Credential=x", "host": "d1.cloudfront.net", "x-amz-date": "20261128T000000Z"},
    {"host": "candid.example.org"},
    {"authorization": "a", "x-candid-authorization": "forged", "x-candid-host": "forged", "host": "h"},
    {"x-candid-authorization": "forged", "x-candid-host": "forged"},
    {},
]


def test_cloudfronts_function_is_the_file_that_is_tested() -> None:
    assert properties("RekognitionSigned")["FunctionCode"] == SIGNED.read_text()


@pytest.mark.parametrize("headers", SENT)
def test_cloudfronts_function_hands_on_what_the_local_front_does(headers: dict[str, str]) -> None:
    node = shutil.which("node")
    if not node:
        pytest.skip("Node.js is not here, which runs CloudFront's function.")
    event = {"request": {"headers": {name: {"value": value} for name, value in headers.items()}}}
    program = f"{SIGNED.read_text()}\nconsole.log(JSON.stringify(handler({json.dumps(event)}).headers))"
    done = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True)
    made = {name: one["value"] for name, one in json.loads(done.stdout).items()}
    # CloudFront itself gives the API its own name as Host.
    made.pop("host", None)
    assert made == dict(handed_on(list(headers.items())))
