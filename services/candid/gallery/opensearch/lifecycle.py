"""Making, swapping and dropping generations. Each step can be done again; a change of roles is one request, whole or nothing.

Not here: filling a generation, comparing it with table and bucket, or purging it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from candid.errors import Conflict
from candid.faces.registry import ModelCard
from candid.gallery.index import Partition
from candid.gallery.opensearch.client import IndexNotReady, the_index
from candid.gallery.opensearch.documents import TEMPLATE
from candid.gallery.opensearch.layout import OWN_SUFFIX, Generation, Layout, Layouts
from candid.gallery.opensearch.names import Names, own_name

_MAKING_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Size:
    """How an index is cut: ``shards`` from 1; ``replicas`` None: one where there is a second node for it."""

    shards: int = 1
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The use cases over the indexes of one prefix. ``mapping`` is the file ``infra/opensearch/mapping.json``."""

    client: OpenSearch
    names: Names
    layouts: Layouts
    mapping: Path

    def create(self, name: str, card: ModelCard, size: Size = Size()) -> tuple[Generation, bool]:
        """The serving generation, made for the model ``name`` if there is no generation at all; and whether it was made.

        Raises ``IndexNotReady`` where there are some and none serves: a new, empty one would find nobody.
        """
        layout = self.layouts.fresh()
        if layout.generations:
            return layout.the_serving(), False
        made = self._make(layout, name, card, size, self.names.serving)
        return self.layouts.fresh().generation(made), True

    def stand_by(self, name: str, card: ModelCard, size: Size | None = None) -> tuple[Generation, bool]:
        """The generation on standby, made for the model ``name`` if there is none; and whether it was made.

        Raises ``Conflict`` where another model's stands by, ``IndexNotReady`` where none serves.
        """
        layout = self.layouts.fresh()
        layout.the_serving()
        if layout.standby is not None:
            there = layout.generation(layout.standby)
            if there.model_id != card.id:
                raise Conflict(
                    f"An index for {there.model} stands by already. Swap it or drop it first: `candid index status` shows it."
                )
            return there, False
        made = self._make(layout, name, card, size or Size(), self.names.standby)
        return self.layouts.fresh().generation(made), True

    def swap(self, name: str) -> None:
        """Let ``name``, which stands by, serve and the serving one stand by, in one step; nothing where it serves already.

        Raises ``Conflict`` where it does not stand by.
        """
        layout = self.layouts.fresh()
        serving = layout.the_serving()
        if serving.name == name:
            return
        if layout.standby != name:
            raise Conflict("This index does not stand by. `candid index status` shows which does.")
        standby = layout.generation(name)
        self._alias(
            {"remove": {"index": serving.name, "alias": self.names.serving, "must_exist": True}},
            {"remove": {"index": standby.name, "alias": self.names.standby, "must_exist": True}},
            {"add": {"index": standby.name, "alias": self.names.serving}},
            {"add": {"index": serving.name, "alias": self.names.standby}},
        )
        self.layouts.fresh()

    def drop(self, name: str) -> None:
        """Delete a generation that does not serve, with the indexes of its own collections. Raises ``Conflict`` for another."""
        layout = self.layouts.fresh()
        if name == layout.serving:
            raise Conflict("This index serves. Swap another in before it is dropped.")
        if name not in layout.generations:
            raise Conflict("There is no such index. `candid index status` lists what there is.")
        # Its own indexes first: without the shared one nobody would know whose they are.
        for index in [*(own.name for own in layout.generations[name].own.values()), name]:
            with the_index():
                self.client.indices.delete(
                    index=index, params={"ignore_unavailable": "true"}, request_timeout=_MAKING_SECONDS
                )

    def make_own(self, generation: Generation, partition: Partition, size: Size) -> None:
        """Make an index of a collection's own beside ``generation``, for writes alone; nothing if it is there."""
        self._put(own_name(generation.name, partition), self._own_body(generation.dimension, partition, size, None))

    def search_own(self, generation: Generation, partition: Partition) -> None:
        """Let searches look at a collection's own index, and writes go to it alone."""
        alias = generation.name + OWN_SUFFIX
        self._alias({"add": {"index": own_name(generation.name, partition), "alias": alias}})

    def _make(self, layout: Layout, name: str, card: ModelCard, size: Size, alias: str) -> str:
        taken = [self.names.number_of(one) for one in layout.generations]
        made = self.names.generation(card.id, max(taken, default=0) + 1)
        meta = {"model": name, "model_id": card.id, "dimension": card.dimension}
        # What has an index of its own now has one there too. These first: without the shared one nobody writes to them.
        for own in layout.the_serving().searched_own() if layout.serving else ():
            body = self._own_body(card.dimension, own.partition, Size(own.shards, own.replicas), made + OWN_SUFFIX)
            self._put(own_name(made, own.partition), body)
        body = self._body(card.dimension, meta, size)
        body["aliases"] = {alias: {}}
        body["mappings"]["_routing"] = {"required": True}
        self._put(made, body)
        return made

    def _own_body(self, dimension: int, partition: Partition, size: Size, alias: str | None) -> dict[str, Any]:
        meta = {"agency": partition.agency, "collection": partition.collection, "kind": partition.kind.value}
        body = self._body(dimension, meta, size)
        if alias:
            body["aliases"] = {alias: {}}
        return body

    def _body(self, dimension: int, meta: Mapping[str, Any], size: Size) -> dict[str, Any]:
        body: dict[str, Any] = copy.deepcopy(json.loads(self.mapping.read_text(encoding="utf-8")))
        body["mappings"]["properties"][TEMPLATE]["dimension"] = dimension
        body["mappings"]["_meta"]["candid"] |= dict(meta)
        settings = body["settings"]["index"]
        settings["number_of_shards"] = size.shards
        if size.replicas is not None:
            del settings["auto_expand_replicas"]
            settings["number_of_replicas"] = size.replicas
        return body

    def _put(self, name: str, body: dict[str, Any]) -> None:
        with the_index():
            try:
                self.client.indices.create(index=name, body=body, request_timeout=_MAKING_SECONDS)
            except RequestError as error:
                # Another caller was quicker, or an earlier try got through although its answer did not.
                if error.error != "resource_already_exists_exception":
                    raise
                told = self.client.indices.get(index=name, params={"filter_path": "*.mappings._meta"})
                if "candid" not in told.get(name, {}).get("mappings", {}).get("_meta", {}):
                    raise IndexNotReady(
                        f"There is an index called {name} that Candid did not make. Delete it, then try again."
                    ) from None

    def _alias(self, *actions: dict[str, Any]) -> None:
        with the_index():
            self.client.indices.update_aliases(body={"actions": list(actions)}, request_timeout=_MAKING_SECONDS)
