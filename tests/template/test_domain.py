"""The OpenSearch domain that a stack can make: closed, encrypted, small in what it publishes, watched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.template.system import DOMAIN, IMAGES, function, properties, resources, statements, transformed
from tests.template.test_network import SUBNETS

DIMENSIONS = [
    {"Name": "DomainName", "Value": {"Ref": "Domain"}},
    {"Name": "ClientId", "Value": {"Ref": "AWS::AccountId"}},
]
RECOMMENDED = {
    # Statistic, seconds, periods, threshold: as AWS's "Recommended CloudWatch alarms" has them. SearchLatency is Candid's own.
    "ClusterStatus.red": ("Maximum", 60, 1, 1),
    "ClusterStatus.yellow": ("Maximum", 60, 5, 1),
    "ClusterIndexWritesBlocked": ("Maximum", 300, 1, 1),
    "AutomatedSnapshotFailure": ("Maximum", 60, 1, 1),
    "CPUUtilization": ("Maximum", 900, 3, 80),
    "JVMMemoryPressure": ("Maximum", 60, 3, 95),
    "OldGenJVMMemoryPressure": ("Maximum", 60, 3, 80),
    "MasterCPUUtilization": ("Maximum", 900, 3, 50),
    "MasterJVMMemoryPressure": ("Maximum", 60, 3, 95),
    "MasterReachableFromNode": ("Maximum", 300, 1, 1),
    "KMSKeyError": ("Maximum", 60, 1, 1),
    "KMSKeyInaccessible": ("Maximum", 60, 1, 1),
    "ThreadpoolSearchQueue": ("Average", 60, 1, 500),
    "ThreadpoolWriteQueue": ("Average", 60, 1, 100),
    "SearchLatency": ("Average", 300, 3, 1000),
}
COMPUTED = {
    "FreeStorageSpace": ({"Fn::Sub": "100 * free / (1024 * ${OpenSearchVolumeGiB})"}, 25, "LessThanOrEqualToThreshold"),
    "Nodes": (
        {"Fn::If": ["HasManagers", "nodes - 3", "nodes - 0"]},
        {"Ref": "OpenSearchInstanceCount"},
        "LessThanThreshold",
    ),
    "5xx": ("100 * failed / all", 10, "GreaterThanOrEqualToThreshold"),
    "ThreadpoolSearchRejected": ("DIFF(refused)", 1, "GreaterThanOrEqualToThreshold"),
    "ThreadpoolWriteRejected": ("DIFF(refused)", 1, "GreaterThanOrEqualToThreshold"),
}


def _domain() -> dict[str, Any]:
    return properties("Domain")


def _of_the_domain() -> list[dict[str, Any]]:
    return [
        one
        for one in resources("AWS::CloudWatch::Alarm").values()
        if one["Properties"].get("Namespace") == "AWS/ES" or "Metrics" in one["Properties"]
    ]


def test_the_domain_has_no_public_address_and_takes_nothing_but_modern_tls() -> None:
    options = _domain()["VPCOptions"]
    assert options["SecurityGroupIds"] == [{"Ref": "DomainSecurityGroup"}]
    assert options["SubnetIds"] == {"Fn::If": ["CreatesVpc", SUBNETS, {"Ref": "VpcSubnetIds"}]}
    endpoint = _domain()["DomainEndpointOptions"]
    assert endpoint == {"EnforceHTTPS": True, "TLSSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10"}


def test_the_domain_is_encrypted_at_rest_with_its_own_key_and_between_nodes() -> None:
    key = {"Fn::GetAtt": ["IndexKey", "Arn"]}
    assert _domain()["EncryptionAtRestOptions"] == {"Enabled": True, "KmsKeyId": key}
    assert _domain()["NodeToNodeEncryptionOptions"] == {"Enabled": True}


def test_opensearch_knows_iam_roles_alone_and_the_master_is_a_function_that_does_nothing_else() -> None:
    assert _domain()["AdvancedSecurityOptions"] == {
        "Enabled": True,
        "AnonymousAuthEnabled": False,
        "InternalUserDatabaseEnabled": False,
        "MasterUserOptions": {"MasterUserARN": {"Fn::GetAtt": ["RolesRole", "Arn"]}},
    }
    users = [name for name in IMAGES if function(name)["Role"] == {"Fn::GetAtt": ["RolesRole", "Arn"]}]
    assert users == ["roles"]
    assert not [one for one in resources("AWS::Lambda::EventSourceMapping").values() if "Roles" in str(one)]
    assert not [one for one in resources("AWS::Lambda::Permission").values() if "Roles" in str(one)]


def test_nobody_sends_a_request_unsigned_or_from_another_account() -> None:
    (statement,) = statements(_domain()["AccessPolicies"])
    assert statement["Effect"] == "Allow"
    root = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    assert statement["Principal"] == {"AWS": root}
    assert all(action.startswith("es:ESHttp") and "*" not in action for action in statement["Action"])
    assert statement["Resource"] == {"Fn::Sub": DOMAIN + "${AWS::StackName}-index/*"}
    assert _domain()["DomainName"] == {"Fn::Sub": "${AWS::StackName}-index"}


def test_of_the_domains_logs_only_that_is_published_which_holds_no_template() -> None:
    """A slow log of searches prints the probe's template, as does an error log, and an audit log holds bodies."""
    group = {"Fn::GetAtt": ["DomainLogs", "Arn"]}
    assert _domain()["LogPublishingOptions"] == {
        "INDEX_SLOW_LOGS": {"Enabled": True, "CloudWatchLogsLogGroupArn": group}
    }
    logs = properties("DomainLogs")
    assert logs["LogGroupName"] == {"Fn::Sub": "/aws/opensearch/${AWS::StackName}-index-slow"}
    assert logs["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert logs["KmsKeyId"] == {"Fn::GetAtt": ["LogsKey", "Arn"]}


def test_this_domain_alone_may_write_into_its_log() -> None:
    written = properties("DomainLogsPolicy")["PolicyDocument"]["Fn::Sub"]
    (statement,) = json.loads(written)["Statement"]
    assert statement["Principal"] == {"Service": "es.amazonaws.com"}
    assert statement["Resource"] == "${DomainLogs.Arn}"
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"},
        "ArnEquals": {"aws:SourceArn": DOMAIN + "${AWS::StackName}-index"},
    }
    assert transformed()["Resources"]["Domain"]["DependsOn"] == "DomainLogsPolicy"


def test_the_domain_can_not_be_replaced_by_an_empty_one_and_goes_with_the_stack() -> None:
    domain = transformed()["Resources"]["Domain"]
    assert domain["Condition"] == "CreatesDomain"
    assert domain["UpdatePolicy"] == {"EnableVersionUpgrade": True}
    assert "DomainName" in domain["Properties"]
    assert domain["DeletionPolicy"] == "Delete"
    assert domain["Properties"]["SoftwareUpdateOptions"] == {"AutoSoftwareUpdateEnabled": True}
    assert domain["Properties"]["OffPeakWindowOptions"]["Enabled"] is True


def test_the_size_is_what_the_parameters_say() -> None:
    cluster, disk = _domain()["ClusterConfig"], _domain()["EBSOptions"]
    assert cluster["InstanceType"] == {"Ref": "OpenSearchInstanceType"}
    assert cluster["InstanceCount"] == {"Ref": "OpenSearchInstanceCount"}
    assert cluster["ZoneAwarenessConfig"]["Fn::If"][1] == {"AvailabilityZoneCount": {"Ref": "OpenSearchZones"}}
    assert cluster["DedicatedMasterType"]["Fn::If"][1] == {"Ref": "OpenSearchManagerType"}
    assert cluster["DedicatedMasterCount"]["Fn::If"][1] == 3
    assert (disk["VolumeType"], disk["VolumeSize"]) == ("gp3", {"Ref": "OpenSearchVolumeGiB"})


@pytest.mark.parametrize("name", IMAGES)
def test_the_functions_are_told_the_domains_address(name: str) -> None:
    told = function(name)["Environment"]["Variables"]["OPENSEARCH_ENDPOINT"]
    domain = {"Fn::Sub": "https://${Domain.DomainEndpoint}"}
    assert told == {"Fn::If": ["CreatesDomain", domain, {"Ref": "OpenSearchEndpoint"}]}


def test_every_alarm_that_aws_recommends_is_there_and_only_with_a_domain() -> None:
    plain: dict[str, tuple[Any, ...]] = {}
    computed: dict[str, tuple[Any, ...]] = {}
    for alarm in _of_the_domain():
        described = alarm["Properties"]
        managers = described.get("MetricName", "").startswith("Master")
        assert alarm["Condition"] == ("CreatesDomainWithManagers" if managers else "CreatesDomain")
        if "Metrics" not in described:
            assert described["Dimensions"] == DIMENSIONS
            plain[described["MetricName"]] = (
                described["Statistic"],
                described["Period"],
                described["EvaluationPeriods"],
                described["Threshold"],
            )
            away = described["MetricName"] == "MasterReachableFromNode"
            assert described["ComparisonOperator"] == ("LessThanThreshold" if away else "GreaterThanOrEqualToThreshold")
            continue
        value, *read = described["Metrics"]
        for one in read:
            assert one["MetricStat"]["Metric"]["Dimensions"] == DIMENSIONS
            assert one["MetricStat"]["Metric"]["Namespace"] == "AWS/ES"
            assert one["ReturnData"] is False
        metric = read[0]["MetricStat"]["Metric"]["MetricName"]
        computed[metric] = (value["Expression"], described["Threshold"], described["ComparisonOperator"])
    assert plain == RECOMMENDED
    assert computed == COMPUTED
