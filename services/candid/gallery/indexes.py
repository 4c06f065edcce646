"""Which indexes there are at this moment, and the model of each: what serves, what is written, what an erasure must reach.

A deployment with an embedded file has one. In OpenSearch one generation serves, and another may stand by while it is filled or so
that it can be swapped back; both are written, so that either is whole. Not here: how roles change (``opensearch.lifecycle``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from candid.errors import DependencyUnavailable
from candid.faces.engine import FaceEngine, load_engine
from candid.faces.registry import ModelCard
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import Partition, VectorIndex
from candid.gallery.opensearch.client import IndexNotReady, connect
from candid.gallery.opensearch.index import OpenSearchIndex
from candid.gallery.opensearch.layout import Generation, Layouts
from candid.gallery.opensearch.names import Names
from candid.settings import FaceSettings, SettingsError


@dataclass(frozen=True, slots=True)
class ModelIndex:
    """An index, and the engine of the model whose templates it holds."""

    engine: FaceEngine
    index: VectorIndex


class Indexes(Protocol):
    """Every method raises ``DependencyUnavailable`` when the store does not answer, or no index serves."""

    def serving(self) -> ModelIndex:
        """What a search looks at; at most a few seconds old."""

    def written(self) -> Sequence[ModelIndex]:
        """What every face is written to, the serving one first; as it is now."""

    def every(self) -> Mapping[str, VectorIndex]:
        """Every index that there is, whatever it is for, by its name; as it is now."""

    def erase(self, partition: Partition, ids: Sequence[UUID]) -> None:
        """Delete entries from every index that there is."""

    def holds(self, partition: Partition, ids: Sequence[UUID]) -> bool:
        """Whether any index has any of them."""

    def engine(self) -> FaceEngine:
        """The serving model's engine, for what needs no index; where none can be asked, that of the model in the settings."""


@dataclass(frozen=True, slots=True)
class OneIndex:
    """The ``Indexes`` of a deployment that has one."""

    only: ModelIndex

    def serving(self) -> ModelIndex:
        return self.only

    def written(self) -> Sequence[ModelIndex]:
        return (self.only,)

    def every(self) -> Mapping[str, VectorIndex]:
        return {self.only.engine.card.id: self.only.index}

    def erase(self, partition: Partition, ids: Sequence[UUID]) -> None:
        self.only.index.delete(partition, ids)

    def holds(self, partition: Partition, ids: Sequence[UUID]) -> bool:
        return bool(self.only.index.get(partition, ids))

    def engine(self) -> FaceEngine:
        return self.only.engine


@dataclass(frozen=True, slots=True)
class OpenSearchIndexes:
    """The ``Indexes`` under one prefix. ``load`` gives the engine of a model by its name, ``model`` is the settings' own."""

    layouts: Layouts
    load: Callable[[str], FaceEngine]
    model: str

    def serving(self) -> ModelIndex:
        return self._open(self.layouts.recent().the_serving())

    def written(self) -> Sequence[ModelIndex]:
        return tuple(self._open(one) for one in self.layouts.fresh().written())

    def every(self) -> Mapping[str, VectorIndex]:
        return {name: self._index(one) for name, one in self.layouts.fresh().generations.items()}

    def erase(self, partition: Partition, ids: Sequence[UUID]) -> None:
        for index in self._at_least_one():
            index.delete(partition, ids)

    def holds(self, partition: Partition, ids: Sequence[UUID]) -> bool:
        return any(index.get(partition, ids) for index in self._at_least_one())

    def engine(self) -> FaceEngine:
        try:
            return self.serving().engine
        except DependencyUnavailable:
            return self.load(self.model)

    def _at_least_one(self) -> Collection[VectorIndex]:
        # A cluster that has just started lists no index until it knows its own again: that nothing is there would be no proof.
        there = self.layouts.fresh()
        if not there.generations:
            there.the_serving()
        return [self._index(one) for one in there.generations.values()]

    def _open(self, generation: Generation) -> ModelIndex:
        engine = self.load(generation.model)
        if (engine.card.id, engine.card.dimension) != (generation.model_id, generation.dimension):
            raise IndexNotReady(
                f"The index holds templates of {generation.model_id}, and this Candid's {generation.model} is {engine.card.id}: "
                "the two can't be compared. Deploy the Candid that the index was made with."
            )
        return ModelIndex(engine, self._index(generation))

    def _index(self, generation: Generation) -> OpenSearchIndex:
        return OpenSearchIndex(self.layouts.client, self.layouts, generation.name, generation.dimension)


def open_indexes(told: FaceSettings) -> Indexes:
    """The indexes that a function's environment names. Raises ``SettingsError``, ``UnknownModel``, ``DependencyUnavailable``."""
    engine = load_engine(told.model, told.candid_models)
    if told.opensearch_endpoint:
        client = connect(told.opensearch())
        layouts = Layouts(client, Names(told.opensearch_prefix))
        return OpenSearchIndexes(layouts, lambda name: load_engine(name, told.candid_models), told.model)
    return OneIndex(ModelIndex(engine, open_embedded(told, engine.card)))


def open_embedded(told: FaceSettings, card: ModelCard) -> ExactIndex:
    """The embedded index of one model: one file a model in the folder ``embedded_index_path``. Raises ``SettingsError``."""
    if not told.embedded_index_path:
        raise SettingsError("There is no index to work with. Set EMBEDDED_INDEX_PATH or OPENSEARCH_ENDPOINT.")
    return ExactIndex(embedded_file(told, card), card.dimension, card.id)


def embedded_file(told: FaceSettings, card: ModelCard) -> Path:
    """Where the embedded index of a model lies."""
    return Path(told.embedded_index_path) / f"{card.id}.sqlite"
