"""The use cases of the index function over the stores that the environment names, wired in this one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from candid import settings
from candid.faces.registry import model_card
from candid.gallery.catalog import Catalog
from candid.gallery.hints import Hints
from candid.gallery.indexes import Indexes, open_indexes
from candid.gallery.opensearch.client import connect
from candid.gallery.opensearch.layout import Layouts
from candid.gallery.opensearch.lifecycle import Lifecycle
from candid.gallery.opensearch.names import Names
from candid.gallery.strays import Strays
from candid.gallery.upkeep.filling import Filling
from candid.gallery.upkeep.records import Records
from candid.settings import IndexSettings, SettingsError

FILES = Path("infra") / "opensearch"
"""Where mapping.json and roles.json lie: under the checkout, or beside this package in the image."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the function works with. ``lifecycle`` is None where the index is an embedded file."""

    told: IndexSettings
    records: Records
    hints: Hints
    strays: Strays
    filling: Filling
    lifecycle: Lifecycle | None


@cache
def work() -> Work:
    """The process's own, from its environment. Raises ``SettingsError``, ``UnknownModel``."""
    return wire(settings.read(IndexSettings, os.environ))


@cache
def indexes() -> Indexes:
    """The indexes as enrolment and search see them. Raises ``IndexDamaged`` too."""
    return open_indexes(work().told)


def wire(told: IndexSettings) -> Work:
    """The use cases over what ``told`` names."""
    model_card(told.model)
    records = Records(Catalog(told.gallery_table))
    hints = Hints(told.photos_queue_url, told.photos_bucket)
    lifecycle = None
    if told.opensearch_endpoint:
        client, names = connect(told.opensearch()), Names(told.opensearch_prefix)
        lifecycle = Lifecycle(client, names, Layouts(client, names), file("mapping.json"))
    # A walk publishes nothing, so it needs no bus.
    strays = Strays(told.gallery_table, "")
    return Work(told, records, hints, strays, Filling(records, hints), lifecycle)


def file(name: str) -> Path:
    """``mapping.json`` or ``roles.json``. Raises ``SettingsError`` where the package lacks it."""
    for folder in Path(__file__).resolve().parents:
        if (found := folder / FILES / name).is_file():
            return found
    raise SettingsError(f"The package lacks {FILES / name}. Build it again.")
