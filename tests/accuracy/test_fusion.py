"""What a user's fused template is worth on LFW: false match and false non-match rates at the calibration's thresholds, which
were measured with single faces (ISO/IEC 19795-1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from candid.errors import PhotoRefused
from candid.faces.image import decode
from candid.faces.registry import model_card
from candid.faces.selection import probe_face
from candid.gallery.fusion import fuse
from tests.conftest import MEASURED
from tests.portraits import engine, lfw

pytestmark = pytest.mark.slow

MOST = 1.5
"""Times the rate that the calibration gives, at most."""


def test_a_fused_template_has_nearly_the_false_match_rate_of_its_score_and_misses_fewer(
    record_property: Callable[[str, str], None],
) -> None:
    photos: dict[str, list[np.ndarray]] = defaultdict(list)
    for person, path in lfw():
        image = decode(path.read_bytes())
        try:
            face = probe_face(engine().detect(image), "largest")
        except PhotoRefused:
            continue
        photos[person].append(engine().templates(image, [face])[0])
    probes = np.stack([template for each in photos.values() for template in each])
    of = np.array([person for person, each in photos.items() for _ in each])
    calibration = model_card("sface").calibration
    assert calibration is not None
    for faces in (2, 3):
        users = {person: each for person, each in photos.items() if len(each) > faces}
        fused = np.stack([fuse(each[1 : 1 + faces]) for each in users.values()])
        scores = probes @ fused.T
        strangers = scores[of[:, None] != np.array(list(users))[None, :]]
        own = np.array([each[0] @ template for each, template in zip(users.values(), fused, strict=True)])
        single = np.array([each[0] @ each[1] for each in users.values()])
        for rate in (1e-2, 1e-3):
            cut = calibration.cosine_at_fmr(rate)
            fmr, missed = float((strangers >= cut).mean()), (own < cut).mean()
            record_property(
                MEASURED,
                f"Users of {faces} faces, {len(users)} of them, at a false match rate of {rate:g}: measured {fmr:.2g}; "
                f"false non-match rate {missed:.1%}, of one face {(single < cut).mean():.1%}.",
            )
            assert fmr <= MOST * rate
            assert missed <= (single < cut).mean()
