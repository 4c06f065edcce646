"""The use cases of the embed function over the stores that the environment names, wired in this one place.

Made on first use, once a process: an invocation that finds no work pays for no model.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from candid import settings
from candid.gallery.adoption import Adoption
from candid.gallery.arrivals import Arrivals
from candid.gallery.catalog import Catalog
from candid.gallery.changes import Changes
from candid.gallery.collections import Collections
from candid.gallery.dead_letters.aside import Aside
from candid.gallery.dissolution import Dissolution
from candid.gallery.enrolment import Enrolment
from candid.gallery.erasure import Erasure
from candid.gallery.fusion import Fusion
from candid.gallery.indexes import Indexes, open_indexes
from candid.gallery.progress import Progress
from candid.gallery.sharing import Sharing
from candid.gallery.strays import Strays
from candid.gallery.users import Users
from candid.settings import EmbedSettings


@dataclass(frozen=True, slots=True)
class Work:
    """What the function does: enrol photos of ``bucket`` as ``queue_url`` hands them out, follow changes of records and users,
    and the deletion of collections."""

    bucket: str
    queue_url: str
    enrolment: Enrolment
    changes: Changes
    dissolution: Dissolution
    fusion: Fusion


@cache
def work() -> Work:
    """The process's own, from its environment. Raises ``SettingsError``, ``UnknownModel``, ``DependencyUnavailable``."""
    told = read_settings(os.environ)
    return wire(told, open_indexes(told))


@cache
def aside() -> Aside:
    """Where photos go at which the function failed for the last time: also where an index that is damaged lets it do nothing."""
    told = read_settings(os.environ)
    return Aside(told.photos_dead_letters_url, told.photos_receives)


def read_settings(environ: Mapping[str, str]) -> EmbedSettings:
    """The environment, typed."""
    return settings.read(EmbedSettings, environ)


def wire(told: EmbedSettings, indexes: Indexes, progress: Progress | None = None) -> Work:
    """The use cases over these parts."""
    catalog = Catalog(told.gallery_table)
    progress = progress or Progress(told.gallery_table)
    strays = Strays(told.gallery_table, told.event_bus)
    collections = Collections(told.gallery_table)
    adoption = Adoption(catalog, collections)
    users = Users(told.gallery_table, progress.clock)
    fusion = Fusion(users, catalog, progress, indexes)
    erasure = Erasure(catalog, progress, strays, indexes, fusion, told.photos_bucket, told.event_bus)
    arrivals = Arrivals(catalog, adoption, erasure, strays, told.photos_bucket)
    enrolment = Enrolment(
        catalog, progress, arrivals, adoption, strays, indexes, fusion, told.photos_bucket, told.event_bus
    )
    changes = Changes(catalog, progress, erasure, enrolment, indexes)
    dissolution = Dissolution(collections, catalog, Sharing(told.gallery_table), users)
    return Work(told.photos_bucket, told.photos_queue_url, enrolment, changes, dissolution, fusion)
