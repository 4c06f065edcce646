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
    "S3Endpoint": ("s3", "Gateway", {"PhotosBucket/*", "ProbesBucket/*", "PhotosBucket", "ProbesBucket"}),
    "TablesEndpoint": ("dynamodb", "Gateway", {"GalleryTable", "CaseworkTable"}),
    "QueuesEndpoint": ("sqs", "Interface", {"PhotosQueue"}),
    "EventsEndpoint": ("events", "Interface", {"EventBus"}),
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
            assert {place(one) for one in as_list(statement["Principal"]["AWS"])} <= {"EmbedRole", "IndexRole"}
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


def test_contradictions_are_refused_before_anything_is_made() -> None:
    rules = template()["Rules"]
    told = {name: [one["AssertDescription"] for one in rule["Assertions"]] for name, rule in rules.items()}
    assert {name: len(said) for name, said in told.items()} == {
        "ADomainLiesInAVpc": 4,
        "AVpcIsMadeForADomain": 1,
        "AnExistingVpcIsNamed": 1,
    }
    assert transformed()["Rules"] == rules
