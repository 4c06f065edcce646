"""Which indexes there are under a prefix, what each is for, and how it is to be searched: read from OpenSearch itself.

Aliases and the mapping's ``_meta`` hold it all, so that there is no second record that could contradict. A writer reads it before
each write; a search may look at one that is some seconds old, and whatever moves collections or swaps generations waits longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opensearchpy import OpenSearch

from candid.gallery.index import Kind, Partition
from candid.gallery.opensearch.client import IndexNotReady, the_index
from candid.gallery.opensearch.documents import TEMPLATE
from candid.gallery.opensearch.names import Names, partition_key, parts

RECENT_SECONDS: Final = 5.0
"""How old the layout may be that a search goes by."""

_MAPPED: Final = {"face_id": "keyword", "partition": "keyword", "booked_us": "long", TEMPLATE: "knn_vector"}
"""What an index of another's making under our name would lack. Without it a search would find nobody, and not fail."""

_READ: Final = ",".join(
    [
        "*.aliases",
        "*.mappings._meta",
        *(f"*.mappings.properties.{name}.{what}" for name in _MAPPED for what in ("type", "dimension", "store")),
        *(f"*.settings.index.{name}" for name in ("number_of_shards", "number_of_replicas", "auto_expand_replicas")),
    ]
)

OWN_SUFFIX: Final = "_own"
"""The alias ``<generation>_own`` is on those of a generation's own indexes that are searched; one without it is being filled."""


@dataclass(frozen=True, slots=True)
class Own:
    """A large collection's own index. ``searched``: it is looked at instead of the shared one; else it is being filled.
    ``replicas`` is None where OpenSearch decides by its nodes."""

    name: str
    partition: Partition
    searched: bool
    shards: int = 1
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One model's index. ``model`` is the registry's name, ``own`` are the indexes that large collections have beside it, by
    partition key."""

    name: str
    model: str
    model_id: str
    dimension: int
    ef_search: int
    exact_limit: int
    shards: int = 1
    own: Mapping[str, Own] = field(default_factory=dict)
    fits: bool = True
    """Whether the index and its own ones are mapped as Candid's calls take for granted."""

    def home(self, partition: Partition) -> str:
        """The index that a search of ``partition`` looks at."""
        own = self.own.get(partition_key(partition))
        return own.name if own and own.searched else self.name

    def written(self, partition: Partition) -> tuple[str, ...]:
        """The indexes that an entry of ``partition`` is written to: while an own one is filled the shared one is first."""
        own = self.own.get(partition_key(partition))
        if own is None:
            return (self.name,)
        return (own.name,) if own.searched else (self.name, own.name)

    def holding(self, partition: Partition) -> tuple[str, ...]:
        """The indexes that may hold anything of ``partition``."""
        own = self.own.get(partition_key(partition))
        return (self.name,) if own is None else (self.name, own.name)

    def searched_own(self) -> tuple[Own, ...]:
        """The own indexes that are searched, by name."""
        return tuple(sorted((one for one in self.own.values() if one.searched), key=lambda one: one.name))


@dataclass(frozen=True, slots=True)
class Layout:
    """All generations by name, and the names of those that serve and stand by. ``doubled`` is an alias of these two that is on
    more than one of them, as a hand outside Candid can put it: then none is named."""

    generations: Mapping[str, Generation]
    serving: str | None
    standby: str | None
    doubled: str = ""

    def generation(self, name: str) -> Generation:
        """The generation called ``name``. Raises ``IndexNotReady`` where it is gone, or mapped as Candid does not map."""
        if name not in self.generations:
            raise IndexNotReady("The index is not there any more. `candid index status` says what is.")
        return _fitting(self.generations[name])

    def the_serving(self) -> Generation:
        """The generation that searches look at. Raises ``IndexNotReady`` where none serves, or it can't be told which."""
        if self.doubled:
            raise IndexNotReady(
                f"The alias {self.doubled} is on more than one index. Take it off all but the one that is meant."
            )
        if self.serving is not None and self.serving in self.generations:
            return _fitting(self.generations[self.serving])
        if self.generations:
            raise IndexNotReady(
                "No index serves, though there are some: none has the alias that says so. `candid index status` lists them; "
                "put the alias (its name ends in _serving) back on the one that served."
            )
        raise IndexNotReady(
            "No index serves yet, or OpenSearch is only starting. `candid index status` says what is there; "
            "`candid index create` makes an index."
        )

    def written(self) -> tuple[Generation, ...]:
        """The generations that every entry is written to, the serving one first. Raises as ``the_serving``."""
        serving = self.the_serving()
        standby = self.generations.get(self.standby or "")
        return (serving, standby) if standby is not None and standby is not serving else (serving,)


@dataclass(slots=True)
class Layouts:
    """Reads layouts, and remembers the last one."""

    client: OpenSearch
    names: Names
    _last: Layout | None = None
    _read_at: float = float("-inf")
    _lock: Any = field(default_factory=threading.Lock)

    def fresh(self) -> Layout:
        """As it is now."""
        with the_index():
            told = self.client.indices.get(
                index=self.names.every,
                # A closed index is one that may be opened again: what is erased must be erased there too.
                params={"filter_path": _READ, "allow_no_indices": "true", "expand_wildcards": "open,closed"},
            )
        layout = understood(told, self.names)
        with self._lock:
            self._last, self._read_at = layout, time.monotonic()
        return layout

    def recent(self) -> Layout:
        """As it was at most ``RECENT_SECONDS`` ago."""
        with self._lock:
            known = self._last if time.monotonic() - self._read_at < RECENT_SECONDS else None
        return known or self.fresh()


def understood(told: Mapping[str, Any], names: Names) -> Layout:
    """What OpenSearch's list of indexes means. An index that Candid did not make is left out."""
    shared: dict[str, Mapping[str, Any]] = {}
    cut: dict[str, int] = {}
    mapped: dict[str, list[int | None]] = {}
    own: dict[str, dict[str, Own]] = {}
    roles: dict[str, list[str]] = {names.serving: [], names.standby: []}
    for name, about in told.items():
        place = parts(name)
        meta = about.get("mappings", {}).get("_meta", {}).get("candid")
        if place is None or not isinstance(meta, Mapping):
            continue
        generation, key = place
        mapped.setdefault(generation, []).append(_mapped(about["mappings"].get("properties", {})))
        aliases = about.get("aliases", {})
        settings = about.get("settings", {}).get("index", {})
        shards = int(settings.get("number_of_shards", 1))
        if key is None:
            shared[name], cut[name] = meta, shards
            for alias in roles.keys() & aliases.keys():
                roles[alias].append(name)
        else:
            partition = Partition(str(meta["agency"]), str(meta["collection"]), Kind(meta["kind"]))
            fixed = "auto_expand_replicas" not in settings
            replicas = int(settings.get("number_of_replicas", 0)) if fixed else None
            own.setdefault(generation, {})[key] = Own(
                name, partition, generation + OWN_SUFFIX in aliases, shards, replicas
            )
    generations = {
        name: Generation(
            name=name,
            model=str(meta["model"]),
            model_id=str(meta["model_id"]),
            dimension=int(meta["dimension"]),
            ef_search=int(meta["ef_search"]),
            exact_limit=int(meta["exact_limit"]),
            shards=cut[name],
            own=own.get(name, {}),
            fits=set(mapped[name]) == {int(meta["dimension"])},
        )
        for name, meta in shared.items()
    }
    doubled = next((alias for alias, those in roles.items() if len(those) > 1), "")
    if doubled:
        return Layout(generations, None, None, doubled)
    serving, standby = (next(iter(roles[alias]), None) for alias in (names.serving, names.standby))
    return Layout(generations, serving, standby)


def _mapped(properties: Mapping[str, Any]) -> int | None:
    """The dimension of the templates in an index that is mapped as it must be; None for another."""
    template = properties.get(TEMPLATE, {})
    found = {name: properties.get(name, {}).get("type") for name in _MAPPED}
    return int(template["dimension"]) if found == _MAPPED and template.get("store") is True else None


def _fitting(generation: Generation) -> Generation:
    if generation.fits:
        return generation
    raise IndexNotReady(
        f"The index {generation.name} is not mapped as Candid maps it, and would not find everybody. Candid did not make it, or "
        "somebody changed it. Delete it, and let `candid index` make one from the photos."
    )
