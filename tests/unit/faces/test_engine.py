"""The default model on real portraits: found, aligned, embedded, chosen, and refused where it should be."""

from __future__ import annotations

import re
import threading

import cv2
import numpy as np
import pytest

from candid.errors import InvalidRequest, NoFace, SeveralFaces, UnknownModel
from candid.faces.alignment import align, similarity_transform
from candid.faces.engine import FaceEngine, load_engine
from candid.faces.image import Pixels, decode
from candid.faces.quality import Reason, pose
from candid.faces.registry import model_card
from candid.faces.selection import booking_face, probe_face
from tests.portraits import MODELS, engine, portrait


def image(name: str) -> Pixels:
    return decode(portrait(name))


def template(pixels: Pixels) -> np.ndarray:
    return engine().templates(pixels, [booking_face(pixels, engine().detect(pixels))])[0]


def beside(*names: str) -> Pixels:
    return np.hstack([cv2.resize(image(name), (400, 480)) for name in names])


def test_one_person_years_apart_scores_far_above_strangers() -> None:
    names = ["person_a_1", "person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"]
    rows = np.stack([template(image(name)) for name in names])
    cosines = rows @ rows.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.6
    strangers = [cosines[i, j] for i in range(6) for j in range(i) if names[i][:8] != names[j][:8]]
    assert max(strangers) < 0.3


def test_templates_are_unit_vectors_of_the_models_dimension() -> None:
    row = template(image("person_b_1"))
    assert row.dtype == np.float32
    assert row.shape == (engine().card.dimension,)
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_a_batch_of_faces_has_the_templates_of_each_alone() -> None:
    both = beside("person_a_2", "person_b_2")
    faces = engine().detect(both)
    batch = engine().templates(both, faces)
    for face, row in zip(faces, batch, strict=True):
        assert float(engine().templates(both, [face])[0] @ row) == pytest.approx(1, abs=1e-5)


def test_a_face_that_fills_a_small_crop_is_found_on_the_second_try() -> None:
    whole = image("person_a_2")
    face = engine().detect(whole)[0]
    top, left = max(int(face.top), 0), max(int(face.left), 0)
    crop = whole[top : top + int(face.height), left : left + int(face.width)]
    small = cv2.resize(crop, (92, 112), interpolation=cv2.INTER_AREA)
    found = engine().detect(np.asarray(small, np.uint8))
    assert len(found) == 1
    assert 0.5 < found[0].width / 92 < 1.5


def test_a_large_face_in_a_large_image_is_found_where_it_is() -> None:
    small = image("person_b_1")
    large = np.asarray(cv2.resize(small, None, fx=3, fy=3), np.uint8)
    here, there = engine().detect(small)[0], engine().detect(large)[0]
    assert there.left / 3 == pytest.approx(here.left, abs=6)
    assert there.width / 3 == pytest.approx(here.width, rel=0.05)


def test_alignment_brings_a_rotated_face_upright() -> None:
    points = engine().detect(image("person_b_1"))[0].landmarks
    turn = cv2.getRotationMatrix2D((300.0, 300.0), 25, 0.7)
    turned = (np.hstack([points, np.ones((5, 1))]) @ turn.T).astype(np.float32)
    one = np.hstack([points, np.ones((5, 1))]) @ similarity_transform(points).T
    other = np.hstack([turned, np.ones((5, 1))]) @ similarity_transform(turned).T
    assert np.allclose(one, other, atol=1e-2)
    assert align(image("person_b_1"), points).shape == (112, 112, 3)


@pytest.mark.parametrize("name", ["person_a_2", "person_b_1", "impostor_1"])
def test_a_face_up_to_twice_the_chips_size_is_aligned_as_opencv_does(name: str) -> None:
    pixels = np.asarray(cv2.resize(image(name), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA), np.uint8)
    face = engine().detect(pixels)[0]
    row = [face.left, face.top, face.width, face.height, *face.landmarks.reshape(-1), face.confidence]
    theirs = cv2.FaceRecognizerSF.create(str(MODELS / str(engine().card.weights)), "").alignCrop(
        pixels, np.array([row], np.float32)
    )
    assert np.abs(theirs.astype(int) - align(pixels, face.landmarks).astype(int)).max() <= 1


def grainy(pixels: Pixels, noise: float) -> Pixels:
    """As a dim sensor sees it: ``noise`` grey levels, standard deviation."""
    return np.clip(pixels + np.random.default_rng(3).normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"])
def test_the_grain_of_a_large_photo_hardly_moves_its_template(name: str) -> None:
    small = image(name)
    large = np.asarray(cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    assert float(template(grainy(large, 25)) @ template(small)) > 0.97


def test_a_large_face_at_the_edge_of_its_photo_is_aligned() -> None:
    whole = image("person_b_1")
    points = engine().detect(whole)[0].landmarks
    left = int(points[:, 0].min()) - 20
    cut = np.ascontiguousarray(whole[:, left:])
    chip = align(cut, points - np.array([left, 0], np.float32))
    shown = chip.max(axis=(0, 2)) > 0
    assert not shown[:10].any()
    assert np.abs(chip[20:100, 45:].astype(int) - align(whole, points)[20:100, 45:].astype(int)).mean() < 2


def test_landmarks_on_one_spot_can_not_be_aligned() -> None:
    with pytest.raises(ValueError, match="one spot"):
        align(image("person_b_1"), np.full((5, 2), 40, np.float32))


def test_no_face_is_a_refusal() -> None:
    grey = np.full((300, 300, 3), 127, np.uint8)
    with pytest.raises(NoFace):
        booking_face(grey, engine().detect(grey))
    with pytest.raises(NoFace):
        probe_face(engine().detect(grey), "largest")


def test_two_people_in_a_booking_photo_are_a_refusal_that_lists_the_boxes() -> None:
    both = beside("person_a_2", "person_b_2")
    with pytest.raises(SeveralFaces) as refusal:
        booking_face(both, engine().detect(both))
    assert [box["index"] for box in refusal.value.members["faces"]] == [0, 1]


def test_a_bystander_far_off_does_not_hide_the_booked_person() -> None:
    scene = np.full((900, 900, 3), 180, np.uint8)
    scene[150:750, 225:675] = cv2.resize(image("person_b_1"), (450, 600))
    scene[0:130, 790:890] = cv2.resize(image("impostor_1"), (100, 130))
    faces = engine().detect(scene)
    assert len(faces) == 2
    chosen = booking_face(scene, faces)
    assert 225 < chosen.left < 675


def test_the_probes_face_is_the_one_that_the_caller_names() -> None:
    faces = engine().detect(beside("person_a_2", "person_b_2"))
    with pytest.raises(SeveralFaces):
        probe_face(faces, "only")
    assert probe_face(faces, "largest") is faces[0]
    assert probe_face(faces, 1) is faces[1]
    with pytest.raises(InvalidRequest, match=r"^The image shows one face, whose index is 0\."):
        probe_face(faces[:1], 1)
    for index in (2, -1):
        with pytest.raises(InvalidRequest, match="0 to 1"):
            probe_face(faces, index)


def reasons(pixels: Pixels) -> set[Reason]:
    face = engine().detect(pixels)[0]
    return {finding.reason for finding in engine().measure(pixels, face)[1]}


def test_a_good_portrait_has_nothing_wrong() -> None:
    quality, findings = engine().measure(image("person_b_1"), engine().detect(image("person_b_1"))[0])
    assert findings == ()
    assert quality.score > 50


def test_a_bad_portrait_is_refused_in_rekognitions_words() -> None:
    good = image("person_b_1")
    assert Reason.LOW_SHARPNESS in reasons(np.asarray(cv2.GaussianBlur(good, (0, 0), 14), np.uint8))
    assert Reason.LOW_BRIGHTNESS in reasons((good * 0.12).astype(np.uint8))
    assert Reason.SMALL_BOUNDING_BOX in reasons(
        np.asarray(cv2.resize(good, None, fx=0.08, fy=0.08, interpolation=cv2.INTER_AREA), np.uint8)
    )


@pytest.mark.parametrize("noise", [0, 8, 15])
@pytest.mark.parametrize("name", ["person_a_2", "person_b_1", "person_b_2", "impostor_1", "impostor_2"])
def test_a_large_face_that_is_blurred_is_refused_however_grainy_it_is(name: str, noise: float) -> None:
    blurred = np.asarray(cv2.GaussianBlur(image(name), (0, 0), 9), np.uint8)
    assert Reason.LOW_SHARPNESS in reasons(grainy(blurred, noise))
    assert Reason.LOW_SHARPNESS not in reasons(grainy(image(name), noise))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_face_smeared_by_motion_is_refused(axis: int) -> None:
    good = image("person_b_1")
    smear = (45, 1) if axis else (1, 45)
    assert Reason.LOW_SHARPNESS in reasons(np.asarray(cv2.blur(good, smear), np.uint8))


def test_pose_has_the_sign_that_it_says() -> None:
    frontal = np.array([[0, 0], [60, 0], [30, 38], [6, 72], [54, 72]], np.float32)
    assert np.allclose(pose(frontal)[::2], 0, atol=1)
    nose_right = frontal + np.array([[0, 0], [0, 0], [15, 0], [0, 0], [0, 0]], np.float32)
    assert pose(nose_right)[0] > 10
    turn = np.array([[0.866, -0.5], [0.5, 0.866]], np.float32)  # 30° clockwise where y points down.
    assert pose(frontal @ turn.T)[2] == pytest.approx(30, abs=1)


def test_an_engine_is_made_once_however_many_ask() -> None:
    assert load_engine("sface", MODELS, threads=1) is load_engine("sface", MODELS, threads=1)


def test_every_model_says_what_it_is() -> None:
    names = ["sface", "deepface:SFace", "deepface:Facenet512", "deepface:VGG-Face", "deepface:DeepID"]
    for card in map(model_card, names):
        assert re.fullmatch(r"[a-z0-9-]+", card.id)
        assert card.licence
        assert card.source
        assert card.version
        assert card.alignment
    assert model_card("deepface:DeepID").input == (47, 55)


def test_an_unknown_model_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(UnknownModel, match="sface, deepface:"):
        model_card("facenet9000")


def test_threads_may_share_an_engine() -> None:
    pixels, expected, wrong = image("person_a_1"), template(image("person_a_1")), []

    def work() -> None:
        for _ in range(5):
            if not np.allclose(template(pixels), expected, atol=1e-6):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_model_without_a_calibration_says_so_instead_of_inventing_one() -> None:
    score = FaceEngine(model_card("deepface:Facenet512"), MODELS).score(0.7)
    assert (score.cosine, score.fmr, score.similarity) == (0.7, None, None)


def test_deepfaces_sface_shares_the_defaults_id_because_its_templates_are_the_same() -> None:
    assert model_card("deepface:SFace").id == model_card("sface").id
    assert model_card("deepface:Facenet512").id == "deepface-facenet512"
