"""The network of the functions that talk to OpenSearch: who is in it, what leads out of it, and how far."""

from __future__ import annotations

from typing import Any

import pytest

from tests.template.system import (
    FUNCTIONS,
    IMAGES,
    Resource,
    as_list,
    function,
    place,
    properties,
    resources,
    role_statements,
    statements,
    template,
    transformed,
)

SUBNETS = [
    {"Ref": "SubnetA"},
    {"Fn::If": ["CreatesSubnetB", {"Ref": "SubnetB"}, {"Ref": "AWS::NoValue"}]},
    {"Fn::If": ["CreatesSubnetC", {"Ref": "SubnetC"}, {"Ref": "AWS::NoValue"}]},
]
ENDPOINTS = {
    "S3Endpoint": (
        "s3",
        "Gateway",
        {"PhotosBucket/*", "ProbesBucket/*", "PhotosBucket", "ProbesBucket", "ImageObjects"},
    ),
    "TablesEndpoint": (
        "dynamodb",
        "Gateway",
        {"GalleryTable", "GalleryTable/index/by-agency", "CaseworkTable", "LimitsTable"},
    ),
    "QueuesEndpoint": ("sqs", "Interface", {"PhotosQueue", "PhotosDeadLetterQueue"}),
    "EventsEndpoint": ("events", "Interface", {"EventBus"}),
    "KeysEndpoint": ("kms", "Interface", {"CredentialsKey"}),
}
_NETWORK = (
    "AWS::EC2::VPC",
    "AWS::EC2::Subnet",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::VPCEndpoint",
)


def _ingress(group: str) -> list[Resource]:
    found: list[Resource] = properties(group).get("SecurityGroupIngress", [])
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_functions_that_talk_to_opensearch_are_in_the_vpc_if_there_is_one_and_the_others_never(name: str) -> None:
    if name not in IMAGES:
        assert "VpcConfig" not in function(name)
        return
    condition, there, otherwise = function(name)["VpcConfig"]["Fn::If"]
    assert condition == "UsesVpc"
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert there["SecurityGroupIds"] == [{"Ref": "FunctionsSecurityGroup"}]
    assert there["SubnetIds"] == {"Fn::If": ["CreatesVpc", SUBNETS, {"Ref": "VpcSubnetIds"}]}


def test_without_a_parameter_there_is_no_network_and_no_domain() -> None:
    conditions = template()["Conditions"]
    for condition, parameter in {"CreatesVpc": "Vpc", "CreatesDomain": "OpenSearchDomain"}.items():
        assert conditions[condition] == {"Fn::Equals": [{"Ref": parameter}, "create"]}
        assert template()["Parameters"][parameter]["Default"] == "none"
    on = {"CreatesVpc", "CreatesSubnetB", "CreatesSubnetC", "CreatesDomain", "UsesVpc"}
    for kind in _NETWORK:
        for name in resources(kind):
            assert transformed()["Resources"][name]["Condition"] in on
    for condition in ("CreatesSubnetB", "CreatesSubnetC"):
        assert {"Condition": "CreatesVpc"} in conditions[condition]["Fn::And"]


def test_no_way_leads_from_the_network_to_the_internet() -> None:
    kinds = {resource["Type"] for resource in transformed()["Resources"].values()}
    assert not kinds & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::EgressOnlyInternetGateway",
        "AWS::EC2::Route",
        "AWS::EC2::VPCPeeringConnection",
    }
    for subnet in resources("AWS::EC2::Subnet").values():
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False


def test_nobody_may_call_the_functions_and_they_alone_may_call_the_domain_and_the_endpoints() -> None:
    assert set(resources("AWS::EC2::SecurityGroup")) == {
        "FunctionsSecurityGroup",
        "DomainSecurityGroup",
        "EndpointsSecurityGroup",
    }
    assert not _ingress("FunctionsSecurityGroup")
    (out,) = properties("FunctionsSecurityGroup")["SecurityGroupEgress"]
    assert (out["IpProtocol"], out["FromPort"], out["ToPort"]) == ("tcp", 443, 443)
    for group in ("DomainSecurityGroup", "EndpointsSecurityGroup"):
        (rule,) = _ingress(group)
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
        assert rule["SourceSecurityGroupId"] == {"Ref": "FunctionsSecurityGroup"}
        assert "CidrIp" not in rule
        (nowhere,) = properties(group)["SecurityGroupEgress"]
        assert nowhere["CidrIp"] == "127.0.0.1/32"
    assert not [kind for kind in ("Ingress", "Egress") if resources(f"AWS::EC2::SecurityGroup{kind}")]


def test_these_are_all_the_endpoints() -> None:
    assert set(resources("AWS::EC2::VPCEndpoint")) == set(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_reaches_what_is_this_stacks_and_nothing_else(endpoint: str) -> None:
    service, kind, targets = ENDPOINTS[endpoint]
    described = properties(endpoint)
    assert described["ServiceName"] == {"Fn::Sub": f"com.amazonaws.${{AWS::Region}}.{service}"}
    assert described["VpcEndpointType"] == kind
    reached: set[str] = set()
    for statement in statements(described["PolicyDocument"]):
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        reached |= {place(one) for one in as_list(statement["Resource"])}
        if kind == "Gateway":
            # A gateway's policy can name a principal by a condition alone.
            account = {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}
            assert statement["Condition"] == account
        else:
            assert {place(one) for one in as_list(statement["Principal"]["AWS"])} <= {
                "EmbedRole",
                "IndexRole",
                "RekognitionRole",
            }
    assert reached == targets
    if kind == "Interface":
        assert described["PrivateDnsEnabled"] is True
        assert described["SecurityGroupIds"] == [{"Ref": "EndpointsSecurityGroup"}]
        assert described["SubnetIds"] == SUBNETS
    else:
        assert described["RouteTableIds"] == [{"Ref": "RouteTable"}]


def test_an_endpoint_lets_through_all_that_a_function_inside_may_do() -> None:
    """What its role allows and its way to AWS does not would fail on AWS alone."""
    through: set[tuple[str, str]] = set()
    for endpoint in ENDPOINTS:
        for statement in statements(properties(endpoint)["PolicyDocument"]):
            for target in as_list(statement["Resource"]):
                through |= {(action, place(target)) for action in as_list(statement["Action"])}
    inside = {f"{name.capitalize()}Role" for name in IMAGES}
    # What Lambda does itself: it takes messages and records, and puts failed ones aside.
    lambdas_own = {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
    }
    needed: set[tuple[str, str]] = set()
    for role, statement in role_statements():
        for target in as_list(statement["Resource"]):
            for action in as_list(statement["Action"]):
                by_endpoint = action.split(":")[0] in {"s3", "dynamodb", "sqs", "events"}
                if role in inside and by_endpoint and action not in lambdas_own:
                    needed.add((action, place(target)))
    needed -= {("sqs:SendMessage", "ChangesDeadLetterQueue")}
    # A link is signed without a call: whoever opens it comes from outside.
    needed -= {("s3:GetObjectVersion", "PhotosBucket/*")}
    assert needed <= through


def test_subnets_lie_in_zones_of_their_own() -> None:
    zones: list[Any] = []
    for subnet in ("SubnetA", "SubnetB", "SubnetC"):
        zones.append(properties(subnet)["AvailabilityZone"])
        assert properties(f"{subnet}Routes")["SubnetId"] == {"Ref": subnet}
        assert properties(f"{subnet}Routes")["RouteTableId"] == {"Ref": "RouteTable"}
    assert zones == [{"Fn::Select": [number, {"Fn::GetAZs": ""}]} for number in range(3)]


RIGHT: dict[str, dict[str, Any]] = {
    "a laptop": {},
    "everything anew": {"OpenSearchDomain": "create", "Vpc": "create"},
    "a domain in a VPC that is there": {
        "OpenSearchDomain": "create",
        "OpenSearchAuth": "sigv4",
        "Vpc": "exists",
        "VpcId": "vpc-0a1b2c3d",
        "VpcSubnetIds": ["subnet-1", "subnet-2"],
    },
    "a domain that is there": {
        "OpenSearchEndpoint": "https://search.example",
        "OpenSearchDomainName": "faces",
        "OpenSearchAuth": "sigv4",
        "Vpc": "exists",
        "VpcId": "vpc-0a1b2c3d",
        "VpcSubnetIds": ["subnet-1"],
    },
    "OpenSearch elsewhere": {"OpenSearchEndpoint": "https://search.example", "OpenSearchAuth": "basic"},
}
CONTRADICTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "no public address": ("everything anew", {"Vpc": "none"}),
    "Either the stack makes a domain": ("everything anew", {"OpenSearchEndpoint": "https://search.example"}),
    "a domain that is there already": ("everything anew", {"OpenSearchDomainName": "faces"}),
    "knows IAM roles alone": ("everything anew", {"OpenSearchAuth": "basic"}),
    "Nothing but a domain of this stack": ("a laptop", {"Vpc": "create"}),
    "VpcId is not set": ("a domain that is there", {"VpcId": "vpc-00000000"}),
    "Set OpenSearchDomainName": ("a domain that is there", {"OpenSearchDomainName": ""}),
}
"""What is said, to whom."""


def _value(written: Any, told: dict[str, Any]) -> Any:
    """What a rule's expression means under these parameters."""
    if not isinstance(written, dict):
        return [_value(one, told) for one in written] if isinstance(written, list) else written
    ((call, inside),) = written.items()
    if call == "Ref":
        return told[inside]
    values = [_value(one, told) for one in inside]
    match call:
        case "Fn::Equals":
            return values[0] == values[1]
        case "Fn::Not":
            return not values[0]
        case "Fn::Or":
            return any(values)
        case "Fn::Contains":
            return values[1] in values[0]
    raise AssertionError(call)


def _refusals(parameters: dict[str, Any]) -> list[str]:
    defaults = {
        name: as_list(one["Default"]) if one["Type"] == "CommaDelimitedList" else one["Default"]
        for name, one in template()["Parameters"].items()
        if "Default" in one
    }
    told = defaults | parameters
    return [
        one["AssertDescription"]
        for rule in template()["Rules"].values()
        if _value(rule["RuleCondition"], told)
        for one in rule["Assertions"]
        if not _value(one["Assert"], told)
    ]


@pytest.mark.parametrize("parameters", RIGHT.values(), ids=RIGHT)
def test_what_fits_together_is_deployed(parameters: dict[str, Any]) -> None:
    assert _refusals(parameters) == []


@pytest.mark.parametrize("said", CONTRADICTIONS)
def test_a_contradiction_is_refused_before_anything_is_made(said: str) -> None:
    right, wrong = CONTRADICTIONS[said]
    (refusal,) = _refusals(RIGHT[right] | wrong)
    assert said in refusal


def test_every_rule_has_a_contradiction_and_is_deployed() -> None:
    rules = template()["Rules"]
    assert sum(len(rule["Assertions"]) for rule in rules.values()) == len(CONTRADICTIONS)
    assert transformed()["Rules"] == rules
