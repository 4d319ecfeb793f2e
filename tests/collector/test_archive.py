"""The archive: what was written can be read, what a crash left is not written to, what does not fit is said."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.errors import NotFoundError, ResourceError
from civobs_collector.evidence.archive import Archive, Health, Location, check_folder, read, scan, verify

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "2026/03/01.a-1.pack"
NEXT = "2026/03/01.a-2.pack"


def read_back(folder, place, message):
    """The archive's bytes for a row that names this place and the digest of ``message``."""
    return read(folder, place, hashlib.sha256(message).digest())


def test_messages_are_read_where_they_were_written(tmp_path):
    archive = Archive(tmp_path, "a")
    messages = [b"first", b"second" * 1000, b"third"]
    places = archive.append(messages, NOW)
    assert [read_back(tmp_path, *one) for one in zip(places, messages, strict=True)] == messages
    assert {place.file for place in places} == {NAME}
    assert verify(tmp_path / NAME) == Health(3, (), 0)


def test_each_day_has_its_file(tmp_path):
    archive = Archive(tmp_path, "a")
    first = archive.append([b"one"], NOW)
    second = archive.append([b"two"], NOW.replace(day=2))
    assert [first[0].file, second[0].file] == [NAME, "2026/03/02.a-1.pack"]


def test_each_start_has_its_file_whatever_is_there(tmp_path):
    running = Archive(tmp_path, "a")
    (first,) = running.append([b"one"], NOW)
    (tmp_path / "2026/03/01.a-9.pack.copy").touch()
    (tmp_path / "2026/03/01.a-b-7.pack").touch()
    (second,) = Archive(tmp_path, "a").append([b"two"], NOW)
    assert [first, second] == [Location(NAME, 0), Location(NEXT, 0)]
    (third,) = running.append([b"three"], NOW)
    assert third.file == NAME
    running.close()
    assert running.append([b"four"], NOW)[0].file == "2026/03/01.a-3.pack"


@pytest.mark.parametrize("damage", ["torn tail", "zeros", "length"])
def test_what_a_crash_or_a_bad_disk_left_is_not_written_to(tmp_path, damage):
    archive = Archive(tmp_path, "a")
    first, second, third = archive.append([b"first", b"second", b"third"], NOW)
    archive.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    match damage:
        case "torn tail":
            del content[-3:]
        case "zeros":
            content += bytes(5000)
        case "length":
            content[second.offset + 32 : second.offset + 36] = b"\xff" * 4
    (tmp_path / NAME).write_bytes(content)
    (fourth,) = Archive(tmp_path, "a").append([b"fourth"], NOW)
    assert (tmp_path / NAME).read_bytes() == content
    assert read_back(tmp_path, first, b"first") == b"first"
    assert read_back(tmp_path, fourth, b"fourth") == b"fourth"
    if damage != "torn tail":
        assert read_back(tmp_path, third, b"third") == b"third"


def test_another_batch_s_bytes_are_not_given_out(tmp_path):
    first, second = Archive(tmp_path, "a").append([b"first", b"second"], NOW)
    with pytest.raises(NotFoundError, match="of this digest"):
        read_back(tmp_path, second, b"first")
    with pytest.raises(NotFoundError, match="of this digest"):
        read_back(tmp_path, Location(NAME, first.offset + 1), b"first")
    with pytest.raises(NotFoundError, match="of this digest"):
        read_back(tmp_path, Location(NAME, 10_000), b"first")


def test_damage_in_the_middle_is_reported_and_left_alone(tmp_path):
    archive = Archive(tmp_path, "a")
    first, second, third = archive.append([b"first", b"second", b"third"], NOW)
    archive.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    content[second.offset + 36] ^= 1
    (tmp_path / NAME).write_bytes(content)
    assert verify(tmp_path / NAME) == Health(3, (second.offset,), 0)
    assert read_back(tmp_path, third, b"third") == b"third"
    assert read_back(tmp_path, first, b"first") == b"first"
    with pytest.raises(NotFoundError, match="no whole record"):
        read_back(tmp_path, second, b"second")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="cannot read 2026"):
        read_back(tmp_path, Location(NAME, 0), b"first")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot make"):
        check_folder(tmp_path / "file" / "archive")


def test_a_disk_that_is_full_leaves_no_half_record(tmp_path, small_disk):
    archive = Archive(small_disk, "a")
    (first,) = archive.append([b"first"], NOW)
    with pytest.raises(OSError, match="No space left"):
        archive.append([os.urandom(60_000) for _ in range(40)], NOW)
    assert verify(small_disk / NAME) == Health(1, (), 0)
    (again,) = archive.append([b"second"], NOW)
    assert again.file == NAME, "a disk that stays full does not get a new file with each attempt"
    assert read_back(small_disk, first, b"first") == b"first"
    assert read_back(small_disk, again, b"second") == b"second"
    archive.close()


@given(st.lists(st.binary(min_size=1, max_size=2000), min_size=1, max_size=20), st.integers(0, 10**6))
def test_whatever_is_cut_off_every_record_before_it_stays(tmp_path_factory, messages, cut):
    folder: Path = tmp_path_factory.mktemp("archive")
    archive = Archive(folder, "a")
    places = archive.append(messages, NOW)
    archive.close()
    size = (folder / NAME).stat().st_size
    end = cut % size
    os.truncate(folder / NAME, end)
    found = [record.message for record in scan(folder / NAME)]
    whole = [m for m, place in zip(messages, places, strict=True) if place.offset + 36 + len(m) <= end]
    assert found == whole
