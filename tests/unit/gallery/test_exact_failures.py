"""What a user reads when the file is damaged, the disk is full or other processes hold the file."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from tests.contract.vector_index import BOOKINGS, OTHERS, entry, identity, unit

from candid.errors import DependencyUnavailable, IndexDamaged
from candid.gallery.exact.file import replace_file
from candid.gallery.exact.index import ExactIndex

DIMENSION = 128
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "index.db"
    index = ExactIndex(path, DIMENSION, "test")
    index.upsert([entry(number, dimension=DIMENSION) for number in range(1200)])
    index.close()
    assert [file.name for file in path.parent.iterdir()] == ["index.db"]
    return path


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two agencies."""
    path = tmp_path_factory.mktemp("two") / "index.db"
    index = ExactIndex(path, DIMENSION, "test")
    index.upsert([entry(number, dimension=DIMENSION) for number in range(600, 800)])
    index.upsert([entry(number, OTHERS[2], dimension=DIMENSION) for number in range(3, 40)])
    index.close()
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Iterator[Path]:
    return Path(shutil.copy(sound, tmp_path))


def use(path: Path) -> None:
    """Every call that reads."""
    index = ExactIndex(path, DIMENSION, "test")
    try:
        index.count(BOOKINGS)
        index.search([BOOKINGS], unit(1, DIMENSION), 10_000)
        index.get(BOOKINGS, [identity(number) for number in range(1200)])
    finally:
        index.close()


def test_a_file_that_is_no_database_says_that_templates_can_be_made_again(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(IndexDamaged, match="made again from the photos"):
        use(path)


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(IndexDamaged, match="is not an index"):
        ExactIndex(path, DIMENSION, "test")
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_damaged(path: Path, kept: float) -> None:
    held = path.read_bytes()
    path.write_bytes(held[: int(len(held) * kept) // 4096 * 4096])
    with pytest.raises(IndexDamaged, match="made again from the photos"):
        use(path)


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes_over_pages_are_found_out(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    held = bytearray(path.read_bytes())
    for page in random.choice(len(held) // 4096, size=len(held) // 4096 // 3, replace=False):
        held[page * 4096 : (page + 1) * 4096] = random.bytes(4096)
    path.write_bytes(held)
    with pytest.raises(IndexDamaged, match="made again from the photos"):
        use(path)


def test_a_template_that_was_altered_in_the_file_is_found_out(path: Path) -> None:
    held = path.read_bytes()
    piece = unit(700, DIMENSION).tobytes()[:64]
    assert held.count(piece) == 1
    path.write_bytes(held.replace(piece, bytes(64)))
    with pytest.raises(IndexDamaged):
        use(path)


def test_an_index_of_another_version_is_made_again_from_the_photos(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 1")
    other.close()
    with pytest.raises(IndexDamaged, match=r"another version .* Run `candid index verify --repair`"):
        use(path)


def answers(path: Path) -> list[object]:
    """What searches of every partition find, to the last bit."""
    index = ExactIndex(path, DIMENSION, "test")
    try:
        found = [index.search([partition], unit(1, DIMENSION), 1200) for partition in (BOOKINGS, OTHERS[2])]
        return [(one.searched, one.neighbours) for one in found]
    finally:
        index.close()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_single_byte_changes_in_the_file_no_search_answers_wrongly(
    seed: int, two: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    held, right = two.read_bytes(), answers(two)
    damaged = 0
    # Half of them near the beginning of a page, where its tree is.
    for _ in range(40):
        at = int(random.integers(len(held)))
        at = at if random.random() < 0.5 else at // 4096 * 4096 + int(random.integers(64))
        changed = bytearray(held)
        changed[at] ^= int(random.integers(1, 256))
        (tmp_path / "index.db").write_bytes(changed)
        try:
            assert answers(tmp_path / "index.db") == right
        except IndexDamaged:
            damaged += 1
    assert damaged > 4


@pytest.mark.parametrize("text", [b"subject-3", b"booking-7", b"washington", b"clackamas"])
def test_a_label_or_an_agency_that_another_byte_makes_another_is_found_out(text: bytes, two: Path) -> None:
    held = two.read_bytes()
    assert text in held
    two.write_bytes(held.replace(text, bytes([text[0] ^ 1]) + text[1:]))
    with pytest.raises(IndexDamaged):
        answers(two)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE part SET agency = 'lakesidf' WHERE part = 1",
        "DELETE FROM part WHERE part = 1",
        "UPDATE block SET part = 9 WHERE block = 1",
        "UPDATE block SET used = used - 1 WHERE block = 1",
    ],
)
@pytest.mark.parametrize("call", ["upsert", "relabel", "delete", "drop", "get", "count"])
def test_no_call_takes_damage_for_what_is_so_or_seals_it(call: str, damage: str, two: Path) -> None:
    index = ExactIndex(two, DIMENSION, "test")
    try:
        index.search([BOOKINGS], unit(1, DIMENSION), 5)
        other = sqlite3.connect(two)
        other.execute(damage)
        other.commit()
        other.close()
        one = entry(600, dimension=DIMENSION)
        calls = {
            "upsert": lambda: index.upsert([one]),
            "relabel": lambda: index.relabel(BOOKINGS, [one.id], subject_id="another", booked_at=one.booked_at),
            "delete": lambda: index.delete(BOOKINGS, [one.id]),
            "drop": lambda: index.drop(BOOKINGS),
            "get": lambda: index.get(BOOKINGS, [one.id]),
            "count": lambda: index.count(BOOKINGS),
        }
        with pytest.raises(IndexDamaged):
            calls[call]()
        with pytest.raises(IndexDamaged):
            index.check()
    finally:
        index.close()


def test_a_look_at_the_whole_file_finds_what_no_search_has_come_by(two: Path) -> None:
    held = two.read_bytes()
    piece = unit(700, DIMENSION).tobytes()[:64]
    other = bytearray(piece)
    other[0] ^= 1
    two.write_bytes(held.replace(piece, bytes(other)))
    index = ExactIndex(two, DIMENSION, "test")
    try:
        with pytest.raises(IndexDamaged):
            index.check()
    finally:
        index.close()


def test_an_empty_file_left_by_a_crash_becomes_an_index(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.touch()
    index = ExactIndex(path, DIMENSION, "test")
    index.upsert([entry(1, dimension=DIMENSION)])
    assert index.count(BOOKINGS) == 1
    index.close()


def test_a_path_that_can_not_be_opened_is_a_dependency(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DependencyUnavailable, match="can't be opened"):
        ExactIndex(tmp_path / "file" / "index.db", DIMENSION, "test")
    with pytest.raises(DependencyUnavailable):
        ExactIndex(tmp_path, DIMENSION, "test")


def fill_the_disk(path: Path, answer: Connection) -> None:
    """Write until the disk refuses: a limit on the size of files stands in for a small disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))
    index = ExactIndex(path, DIMENSION, "test")
    acknowledged = 0
    try:
        for start in range(0, 100_000, 500):
            index.upsert([entry(number, dimension=DIMENSION) for number in range(start, start + 500)])
            acknowledged = start + 500
    except Exception as failure:
        answer.send((type(failure).__name__, str(failure), acknowledged, index.count(BOOKINGS)))


def test_a_disk_that_refuses_is_a_dependency_and_the_failed_call_left_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    here, there = multiprocessing.Pipe()
    writer = SPAWN.Process(target=fill_the_disk, args=(path, there))
    writer.start()
    failure, sentence, acknowledged, count = here.recv()
    writer.join()
    assert failure == "DependencyUnavailable"
    assert sentence.startswith("The index file can't be used now (SQLITE_IOERR")
    assert 0 < acknowledged == count
    index = ExactIndex(path, DIMENSION, "test")
    assert index.count(BOOKINGS) == acknowledged
    assert index.search([BOOKINGS], unit(3, DIMENSION), 1).neighbours[0].id == identity(3)
    index.upsert([entry(200_000, dimension=DIMENSION)])
    index.close()


def test_a_full_disk_is_said_in_words(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test")
    with index._file.lock:
        index._file._connected().execute("PRAGMA max_page_count=1")
    with pytest.raises(DependencyUnavailable, match="full"):
        index.upsert([entry(number, dimension=DIMENSION) for number in range(2000, 3000)])
    assert index.count(BOOKINGS) == 1200
    assert index.search([BOOKINGS], unit(3, DIMENSION), 1).neighbours[0].id == identity(3)
    index.close()


def write_until_told(path: Path, told: Connection) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    told.send("writing")
    told.recv()
    writer.close()


def test_a_writer_that_never_ends_is_reported_and_searches_go_on(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test", patience=0.5)
    here, there = multiprocessing.Pipe()
    writer = SPAWN.Process(target=write_until_told, args=(path, there))
    writer.start()
    assert here.recv() == "writing"
    with pytest.raises(DependencyUnavailable, match="held by other processes"):
        index.upsert([entry(5000, dimension=DIMENSION)])
    assert index.search([BOOKINGS], unit(3, DIMENSION), 1).searched == 1200
    here.send("enough")
    writer.join()
    index.upsert([entry(5000, dimension=DIMENSION)])
    index.close()


def test_a_failures_whole_chain_holds_no_template(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held.replace(unit(700, DIMENSION).tobytes()[:64], bytes(64)))
    index = ExactIndex(path, DIMENSION, "test")
    with pytest.raises(IndexDamaged) as damage:
        index.search([BOOKINGS], unit(1, DIMENSION), 1)
    chain: BaseException | None = damage.value
    while chain is not None:
        assert not any(str(float(number))[:7] in str(chain) for number in unit(1, DIMENSION))
        chain = chain.__cause__ or chain.__context__
    index.close()


def test_a_whole_file_passes_its_check_and_a_damaged_one_does_not(path: Path) -> None:
    index = ExactIndex(path, DIMENSION, "test")
    index.check()
    index.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(IndexDamaged):
        ExactIndex(path, DIMENSION, "test").check()


def test_a_file_that_was_replaced_is_begun_anew_by_who_had_it_open(path: Path) -> None:
    here, there = ExactIndex(path, DIMENSION, "test"), ExactIndex(path, DIMENSION, "test")
    for one in (here, there):
        assert one.search([BOOKINGS], unit(1, DIMENSION), 10).searched > 0
    replace_file(path)
    assert here.search([BOOKINGS], unit(1, DIMENSION), 10).searched == 0
    here.upsert([entry(7, dimension=DIMENSION)])
    assert [found.id for found in there.search([BOOKINGS], entry(7, dimension=DIMENSION).template, 10).neighbours] == [
        identity(7)
    ]
    there.upsert([entry(8, dimension=DIMENSION)])
    # Who closes last brings the journal in and removes it: nothing of the old file's may take its place.
    for one in (here, there):
        one.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert ExactIndex(path, DIMENSION, "test").count(BOOKINGS) == 2


def test_who_ends_after_a_replacement_leaves_the_new_files_journal_alone(path: Path) -> None:
    old = ExactIndex(path, DIMENSION, "test")
    old.upsert([entry(1, dimension=DIMENSION)])
    replace_file(path)
    new = ExactIndex(path, DIMENSION, "test")
    new.upsert([entry(9, dimension=DIMENSION)])
    old.close()
    assert new.count(BOOKINGS) == 1
    new.upsert([entry(10, dimension=DIMENSION)])
    new.close()
    assert ExactIndex(path, DIMENSION, "test").count(BOOKINGS) == 2
