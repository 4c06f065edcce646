"""Manifests as agencies' spreadsheets write them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from candid.cli.importing.grouping import Group, grouped
from candid.cli.importing.manifest import BadManifest, Manifest
from candid.cli.importing.rows import BadRow, PhotoRow

HEADER = b"path,booking_number,subject_id,booked_at"


def read(folder: Path, *lines: bytes, header: bytes = HEADER) -> list[PhotoRow | BadRow]:
    path = folder / "m.csv"
    path.write_bytes(b"\r\n".join([header, *lines]) + b"\r\n")
    return list(Manifest(path, collection="bookings", zone=UTC).rows())


def test_a_byte_order_mark_semicolons_and_capitals_are_read(tmp_path: Path) -> None:
    header = "\ufeffPath;Booking Number;Subject ID;Booked At;Führer's Fee".encode()
    [row] = read(tmp_path, b"a.jpg;1;s;2024-01-01;7", header=header)
    assert isinstance(row, PhotoRow)
    assert row.path == tmp_path / "a.jpg"
    assert row.fields == {"f_hrer_s_fee": "7"}


def test_a_path_may_be_absolute_and_a_cell_may_hold_commas_and_line_breaks(tmp_path: Path) -> None:
    first, second = read(
        tmp_path, b'"/photos/a, b.jpg",1,s,2024-01-01,', b'c.jpg,2,"s\r\nt",2024-01-01,', header=HEADER + b",note"
    )
    assert isinstance(first, PhotoRow)
    assert first.path == Path("/photos/a, b.jpg")
    assert second == BadRow("line 3", "the row holds characters that are not UTF-8 or not printable.")


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    rows = read(tmp_path, b"", b'a.jpg,1,"s', b' t",2024-01-01', b"b.jpg,2,s,2024-01-01", b"c.jpg,3,s,never")
    assert [row.where for row in rows] == ["line 3", "line 5", "line 6"]


def test_bytes_that_are_not_utf_8_spoil_their_row_alone(tmp_path: Path) -> None:
    bad, good = read(tmp_path, b"a.jpg,1,Mu\xf1oz,2024-01-01", b"b.jpg,2,s,2024-01-01")
    assert isinstance(bad, BadRow)
    assert isinstance(good, PhotoRow)


def test_a_quotation_mark_that_is_not_closed_is_told(tmp_path: Path) -> None:
    rows = read(tmp_path, b'a.jpg,"1,s,2024-01-01', *[b"b.jpg,2,s,2024-01-01"] * 8000)
    assert isinstance(rows[0], BadRow)
    assert "quotation mark" in rows[0].sentence


def test_a_time_without_an_offset_is_in_the_zone_that_was_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(HEADER + b"\na.jpg,1,s,2024-07-01 09:30\nb.jpg,2,s,2024-07-01T09:30:00Z\n")
    first, second = Manifest(path, collection="bookings", zone=ZoneInfo("America/Los_Angeles")).rows()
    assert isinstance(first, PhotoRow)
    assert first.booked_at == datetime(2024, 7, 1, 16, 30, tzinfo=UTC)
    assert isinstance(second, PhotoRow)
    assert second.booked_at == datetime(2024, 7, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"path,booking_number", "no column subject_id, booked_at"),
        (HEADER + b",Path", "path more than once"),
        (b"path,," + HEADER[5:], "without a name"),
        (b"", "is empty"),
    ],
)
def test_a_header_that_can_not_be_used_is_one_sentence(tmp_path: Path, header: bytes, said: str) -> None:
    with pytest.raises(BadManifest, match=said):
        read(tmp_path, header=header)


def test_empty_columns_on_the_right_are_a_spreadsheets_and_no_mistake(tmp_path: Path) -> None:
    good, bad = read(tmp_path, b"a.jpg,1,s,2024-01-01,,", b"a.jpg,1,s,2024-01-01,,x", header=HEADER + b",,")
    assert isinstance(good, PhotoRow)
    assert isinstance(bad, BadRow)


def test_neighbours_of_one_number_are_one_booking_of_at_most_eight(tmp_path: Path) -> None:
    lines = [b"%d.jpg,1,s,2024-01-01" % at for at in range(10)]
    groups = list(grouped(read(tmp_path, *lines, b"x.jpg,2,t,2024-01-01")))
    assert [len(group.rows) for group in groups if isinstance(group, Group)] == [8, 2, 1]
