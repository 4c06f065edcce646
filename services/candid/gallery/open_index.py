"""Which index a function works with, by what its environment names."""

from __future__ import annotations

from pathlib import Path

from candid.faces.registry import ModelCard
from candid.gallery.exact.index import ExactIndex
from candid.gallery.index import VectorIndex
from candid.settings import FaceSettings, SettingsError


def open_index(told: FaceSettings, card: ModelCard) -> VectorIndex:
    """The index of one model: one file a model in the folder ``embedded_index_path``. Raises ``SettingsError``."""
    if told.opensearch_endpoint:
        raise SettingsError("OPENSEARCH_ENDPOINT is set, but this version of Candid has no OpenSearch index yet.")
    if not told.embedded_index_path:
        raise SettingsError(
            "Neither EMBEDDED_INDEX_PATH nor OPENSEARCH_ENDPOINT is set: there is no index to work with."
        )
    return ExactIndex(Path(told.embedded_index_path) / f"{card.id}.sqlite", card.dimension, card.id)
