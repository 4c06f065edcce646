"""The sizing table is what README.md shows, and its arithmetic is what its notes say."""

from __future__ import annotations

import json

import pytest
from infra.local.places import CHECKOUT
from infra.opensearch import sizing
from infra.opensearch.sizing import Method, Plan

from tests.template.system import template

PLANS = sizing.plans()
CELLS = json.loads((CHECKOUT / "tests/benchmarks/results/vector_index.json").read_text(encoding="utf-8"))["cells"]


def test_readme_shows_what_the_module_computes() -> None:
    assert f"## Sizing\n\n{sizing.render()}" in (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_memory_agrees_with_figures_that_opensearch_publishes() -> None:
    """1,000,000 vectors of 256 numbers with m 16 take about 1.27 GB (k-NN index, memory estimation)."""
    assert pytest.approx(1.267e9, rel=0.01) == 1_000_000 * sizing.GRAPH_OVERHEAD * (256 * 4 + 8 * 16)
    plan = sizing.plan(30_000_000, 512)
    assert plan.memory_bytes == pytest.approx(3e7 * 1.1 * (1024 + 384))


def _measured(faces: int, major: int) -> dict[str, int]:
    cell: dict[str, int] = CELLS[f"{faces}/OpenSearch {major} m48 e256/fresh/weight"]
    return cell


def test_disk_agrees_with_what_was_measured_and_is_never_less() -> None:
    old = _measured(100_000, 2)["disk_bytes"] / 100_000
    assert old <= sizing.bytes_on_disk(128) == pytest.approx(old, rel=0.05)
    # OpenSearch 3.2 keeps no third copy of the vector.
    for faces in (100_000, 300_000):
        assert _measured(faces, 3)["disk_bytes"] / faces <= sizing.bytes_on_disk(128) - 4 * 128 + sizing.LABEL_BYTES


def test_memory_agrees_with_what_was_measured_and_is_never_less() -> None:
    plan = sizing.plan(300_000, 128)
    weight = _measured(300_000, 3)["vectors_and_graph_bytes"]
    assert weight <= plan.memory_bytes == pytest.approx(weight, rel=0.05)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.faces:,} x {plan.dimension}")
def test_a_plan_bears_its_gallery_and_one_size_smaller_would_not_be_cheaper(plan: Plan) -> None:
    assert plan.fits()
    assert plan.nodes % sizing.ZONES == 0
    assert plan.shards == 1 or plan.shards % sizing.ZONES == 0
    assert plan.faces / plan.shards <= sizing.SHARD_FACES
    assert plan.index_bytes / plan.shards <= sizing.SHARD_BYTES
    smaller = [
        Plan(plan.faces, plan.dimension, plan.method, instance, nodes, plan.shards)
        for instance in sizing.INSTANCES
        for nodes in range(sizing.ZONES, sizing.MOST_NODES + 1, sizing.ZONES)
    ]
    assert not [one for one in smaller if one.fits() and one.dollars < plan.dollars - 10]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.faces:,} x {plan.dimension}")
def test_two_generations_of_every_copy_fit_on_the_disks(plan: Plan) -> None:
    usable = plan.nodes * plan.disk_gib * 2**30 * (1 - sizing.OVERHEAD_OF_LINUX) * (1 - sizing.OVERHEAD_OF_SERVICE)
    assert usable >= plan.index_bytes * sizing.COPIES * sizing.GENERATIONS


def test_engines_follow_each_other_as_galleries_grow() -> None:
    methods = [sizing.method_for(faces) for faces in sizing.GALLERIES]
    assert methods == [Method.EXACT, Method.EXACT, Method.LUCENE, Method.LUCENE, Method.FP16, Method.ON_DISK]


def test_the_smallest_domain_is_what_a_stack_makes_when_nothing_is_said() -> None:
    told = {name: parameter.get("Default") for name, parameter in template()["Parameters"].items()}
    plan = sizing.plan(300_000, 128)
    assert told["OpenSearchInstanceType"] == plan.instance.name
    assert told["OpenSearchInstanceCount"] == plan.nodes
    assert told["OpenSearchVolumeGiB"] == plan.disk_gib
    assert told["OpenSearchZones"] == sizing.ZONES
