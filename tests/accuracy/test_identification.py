"""Closed-set identification on LFW (ISO/IEC 19795-1): rank-1 of later photos among everybody's first."""

from __future__ import annotations

import numpy as np
import pytest

from candid.errors import PhotoRefused
from candid.faces.image import decode
from candid.faces.selection import booking_face, probe_face
from tests.portraits import engine, lfw

pytestmark = pytest.mark.slow


def test_the_right_person_comes_first_for_at_least_97_in_100_probes() -> None:
    first: dict[str, np.ndarray] = {}
    probes: list[tuple[str, np.ndarray | None]] = []
    for person, path in lfw():
        image = decode(path.read_bytes())
        faces = engine().detect(image)
        try:
            face = booking_face(image, faces) if person not in first else probe_face(faces, "largest")
            template = engine().templates(image, [face])[0]
        except PhotoRefused:
            template = None
        if person in first:
            probes.append((person, template))
        elif template is not None:
            first[person] = template
    people = list(first)
    gallery = np.stack([first[person] for person in people])
    hits = sum(t is not None and people[int(np.argmax(gallery @ t))] == person for person, t in probes)
    rate = hits / len(probes)
    print(f"\nrank-1: {hits} of {len(probes)} probes among {len(people)} people: {rate:.2%}")
    assert rate >= 0.97
