"""Whether bucket, table and index tell the same story, after the local AWS was killed or the index was lost. It mends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candid.faces.registry import ModelCard, model_card
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Partition
from candid.gallery.opensearch.index import OpenSearchIndex
from infra.local import opensearch
from infra.local.aws import client
from infra.local.places import Places


@dataclass(frozen=True, slots=True)
class Findings:
    """How many photos the bucket holds, how many the table calls enrolled, and how many templates the index holds."""

    photos: int
    enrolled: int
    templates: int

    def sentence(self) -> str:
        """For whoever starts Candid."""
        counted = (
            f"The bucket holds {self.photos} photos, the tables know {self.enrolled} as enrolled, "
            f"and the index holds {self.templates} templates."
        )
        if self.enrolled == self.templates:
            return f"{counted} Tables and index agree."
        return (
            f"{counted} Tables and index disagree: searches miss what the index lacks; what only the index knows is never shown, "
            "and counts in the size of the gallery all the same. `candid index verify --repair` mends both from what is stored; "
            "`make run FRESH=1` starts over with an empty gallery."
        )


def look(places: Places, outputs: dict[str, str]) -> Findings:
    """Count in all three."""
    keys = list(_keys(client(places.aws_url, "s3"), outputs["PhotosBucketName"]))
    enrolled = list(_enrolled(client(places.aws_url, "dynamodb"), outputs["GalleryTableName"]))
    parts = (key.split("/") for key in [*keys, *enrolled])
    partitions = {Partition(agency, collection) for agency, collection, *_ in parts}
    return Findings(len(keys), len(enrolled), _templates(places, partitions))


def _keys(s3: Any, bucket: str) -> Iterable[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (entry["Key"] for entry in page.get("Contents", []) if entry["Key"].count("/") == 3)


def _enrolled(dynamodb: Any, table: str) -> Iterable[str]:
    """``agency/collection`` of each enrolled photo."""
    places: dict[str, str] = {}
    photos: list[str] = []
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            if item["sk"]["S"] == "BOOKING":
                places[item["pk"]["S"]] = f"{item['agency']['S']}/{item['collection']['S']}"
            elif item["sk"]["S"].startswith("PHOTO#") and item["state"]["S"] == "enrolled":
                photos.append(item["pk"]["S"])
    return (places[booking] for booking in photos if booking in places)


def _templates(places: Places, partitions: Iterable[Partition]) -> int:
    card = model_card(places.model)
    if places.opensearch_url:
        ours = opensearch.lifecycle(places)
        serving = ours.layouts.fresh().the_serving()
        held = OpenSearchIndex(ours.client, ours.layouts, serving.name, serving.dimension)
        return sum(held.count(partition) for partition in partitions)
    return _embedded_templates(places.index, card, partitions)


def _embedded_templates(folder: Path, card: ModelCard, partitions: Iterable[Partition]) -> int:
    path = folder / f"{card.id}.sqlite"
    if not path.exists():
        return 0
    index = ExactIndex(path, card.dimension, card.id)
    try:
        return sum(index.count(partition) for partition in partitions)
    finally:
        index.close()
