"""The archive: what was written can be read, what was torn is set aside, what does not fit is said."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from civobs_collector.errors import NotFoundError, ResourceError
from civobs_collector.evidence.archive import Archive, Health, Location, check_folder, read, scan, verify

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAME = "2026/03/01.a.pack"


def test_messages_are_read_where_they_were_written(tmp_path):
    archive = Archive(tmp_path, "a")
    messages = [b"first", b"second" * 1000, b"third"]
    places = archive.append(messages, NOW)
    assert [read(tmp_path, place) for place in places] == messages
    assert {place.file for place in places} == {NAME}
    assert verify(tmp_path / NAME) == Health(3, (), 0)


def test_each_day_has_its_file(tmp_path):
    archive = Archive(tmp_path, "a")
    first = archive.append([b"one"], NOW)
    second = archive.append([b"two"], NOW.replace(day=2))
    assert [first[0].file, second[0].file] == [NAME, "2026/03/02.a.pack"]


def test_a_second_process_may_not_write_the_same_file(tmp_path):
    archive = Archive(tmp_path, "a")
    archive.append([b"one"], NOW)
    with pytest.raises(BlockingIOError, match="another process"):
        Archive(tmp_path, "a").append([b"two"], NOW)
    archive.close()
    assert Archive(tmp_path, "a").append([b"two"], NOW)[0].offset > 0


@pytest.mark.parametrize("cut", [1, 20, 40, 44])
def test_a_torn_tail_is_set_aside_and_writing_goes_on(tmp_path, cut):
    archive = Archive(tmp_path, "a")
    first, second = archive.append([b"whole", b"torn-off"], NOW)
    archive.close()
    path = tmp_path / NAME
    tail = path.read_bytes()[second.offset : second.offset + 44 - cut]
    os.truncate(path, second.offset + len(tail))
    (third,) = Archive(tmp_path, "a").append([b"next"], NOW)
    assert third.offset == second.offset
    assert read(tmp_path, first) == b"whole"
    assert read(tmp_path, third) == b"next"
    torn = tmp_path / f"{NAME}.torn-{second.offset}"
    assert (torn.read_bytes() if tail else b"") == tail


def test_zeros_that_a_crash_left_are_no_record(tmp_path):
    archive = Archive(tmp_path, "a")
    archive.append([b"whole"], NOW)
    archive.close()
    with (tmp_path / NAME).open("ab") as file:
        file.write(bytes(5000))
    (place,) = Archive(tmp_path, "a").append([b"next"], NOW)
    assert read(tmp_path, place) == b"next"
    assert verify(tmp_path / NAME) == Health(2, (), 0)


def test_damage_in_the_middle_is_reported_and_left_alone(tmp_path):
    archive = Archive(tmp_path, "a")
    first, second, third = archive.append([b"first", b"second", b"third"], NOW)
    archive.close()
    content = bytearray((tmp_path / NAME).read_bytes())
    content[second.offset + 36] ^= 1
    (tmp_path / NAME).write_bytes(content)
    Archive(tmp_path, "a").append([b"fourth"], NOW)
    assert verify(tmp_path / NAME) == Health(4, (second.offset,), 0)
    assert read(tmp_path, third) == b"third"
    assert read(tmp_path, first) == b"first"
    with pytest.raises(NotFoundError, match="no whole record"):
        read(tmp_path, second)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(NotFoundError, match="cannot read 2026"):
        read(tmp_path, Location(NAME, 0))


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
    assert read(small_disk, first) == b"first"
    assert read(small_disk, again) == b"second"
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
