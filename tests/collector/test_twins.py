"""What a twin takes the model takes, with the same values; what it does not take goes to the model."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from civobs_collector.ingest import twins
from civobs_collector.ingest.twins import UnknownSchemaError, parse_quickly, twin_of
from civobs_wire.batch import Batch, parse
from civobs_wire.errors import ContentError
from civobs_wire.measurement import KINDS, MEASUREMENT

EXAMPLES = Path(__file__).parents[2] / "wire/examples"
BATCH = json.loads((EXAMPLES / "batch.json").read_text())
ROWS = [json.loads((EXAMPLES / f"{kind}.json").read_text()) for kind in KINDS]
ROWS.append(json.loads((EXAMPLES / "not-run.json").read_text()))
TEXT = json.dumps(BATCH | {"measurements": [row | {"seq": seq} for seq, row in enumerate(ROWS, 1)]})

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|[\[\]{},:]')
_VALUES = [
    *(
        "null",
        "true",
        "0",
        "-0",
        "1",
        "-1",
        "4",
        "5",
        "0.0",
        "1.0",
        "-0.0",
        "1e0",
        "1E2",
        "1.5",
        "01",
        "+1",
        ".5",
        "5.",
    ),
    *("1e400", "1e-400", "1e39", "3.4028234663852886e+38", "3.4028234663852887e+38", "5e-324", "NaN", "Infinity"),
    *(
        "32767",
        "32768",
        "65536",
        "2147483647",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "1" + "0" * 30,
    ),
    *('""', '"x"', '"1"', '"ok"', '"OK"', '"failed"', '"not_run"', '"paused"', '"generic_timeout_error"', '"agent"'),
    *('"\\u0041"', '"\\u0000"', '"\\ud800"', '"\\n"', '"\x01"', '"\x00"', '"\x7f"', "[]", "{}", "[1]", "[[]]"),
    *(f'"{"x" * 200}"', f'"{"é" * 200}"', f'"{"😀" * 201}"', f'"{"x" * 2049}"', f'"{"ab" * 32}"', f'"{"ab" * 32}\\n"'),
    *('"6d6a4b9f77c744d59f4b1d6d9f9f9f9f"', '"urn:uuid:6d6a4b9f-77c7-44d5-9f4b-1d6d9f9f9f9f"', "1763772513"),
]
_TIMES = st.builds(
    '"{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}"'.format,
    *(st.sampled_from((1, 2019, 2020, 2026, 2199, 2200, 9999)), st.integers(0, 13), st.integers(0, 32)),
    st.sampled_from(("T", "t", " ", "")),
    *(st.integers(0, 25), st.integers(0, 61), st.integers(0, 61)),
    st.from_regex(r"(\.[0-9]{0,12})?", fullmatch=True),
    st.sampled_from(("Z", "z", "", "+00:00", "-00:00", "+05:30", "-0530", "+05", "+24:00", "-23:59", "+05:60")),
)
_FLOATS = st.one_of(
    st.floats().map(repr), st.from_regex(r"-?[0-9]{1,25}\.[0-9]{1,40}([eE]-?[0-9]{1,3})?", fullmatch=True)
)
_NEW = st.one_of(st.sampled_from(_VALUES), _TIMES, _FLOATS)


def plain(value):
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, msgspec.Struct):
        tag = {"kind": plain(value.kind)} if value.__struct_config__.tag is not None else {}
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__} | tag
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return type(value), (value.hex() if isinstance(value, float) else value)


def same(twin, model):
    if isinstance(model, dict):
        return twin.keys() == model.keys() and all(same(twin[name], model[name]) for name in model)
    if isinstance(model, list):
        return len(twin) == len(model) and all(map(same, twin, model))
    if model[0] is datetime:
        # Of what is behind six decimals the model cuts off and the twin rounds.
        return twin[0] is datetime and abs(twin[1] - model[1]) <= timedelta(microseconds=1)
    return twin == model


def taken(text):
    try:
        return twins._decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def judged(text):
    try:
        return parse(text)
    except ContentError:
        return None


def test_the_twin_takes_what_agents_send():
    batch = parse(TEXT.encode())
    for text in (TEXT, batch.model_dump_json(), batch.model_dump_json(exclude_none=True)):
        assert taken(text.encode()) is not None
        assert same(plain(parse_quickly(text.encode())), plain(batch))


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_what_the_twin_takes_the_model_takes_with_the_same_values(data):
    text = TEXT
    for _ in range(data.draw(st.integers(1, 3))):
        tokens = list(_TOKEN.finditer(text))
        place = data.draw(st.sampled_from(tokens))
        match data.draw(st.sampled_from(("replace", "replace", "replace", "drop", "repeat", "swap", "letter"))):
            case "replace":
                new = data.draw(_NEW)
            case "drop":
                new = ""
            case "repeat":
                name = data.draw(st.sampled_from(("kind", "seq", "at", "v", "outcome", "failure", "validity", "new")))
                new = f'{place.group()},"{name}":{data.draw(_NEW)}'
            case "swap":
                new = data.draw(st.sampled_from(tokens)).group()
            case _:
                new = data.draw(st.text(min_size=1, max_size=3))
        text = text[: place.start()] + new + text[place.end() :]
    compare(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(TEXT) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_makes_no_difference_between_them(place, byte):
    text = bytearray(TEXT.encode())
    text[place] = byte
    compare(bytes(text))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(ROWS) - 1), st.one_of(_TIMES, _FLOATS))
@example(0, '"2026-11-22T00:48:33.1234567Z"')
def test_times_and_numbers_are_read_alike(index, value):
    row = json.dumps(BATCH | {"measurements": [ROWS[index] | {"at": "AT", "duration_ms": "MS"}]})
    at, ms = (value, "1.0") if value.startswith('"') else ('"2026-11-22T00:48:33Z"', value)
    compare(row.replace('"AT"', at).replace('"MS"', ms).encode())


def compare(text):
    twin = None if b"\\u" in text else taken(text)
    if twin is None:
        return
    model = judged(text)
    assert model is not None, text
    assert same(plain(twin), plain(model))


def test_a_field_of_a_newer_agent_goes_the_long_way_and_is_let_in():
    text = json.dumps(BATCH | {"of_tomorrow": 1}).encode()
    assert taken(text) is None
    assert isinstance(parse_quickly(text), Batch)


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[" * 100_000, b'{"v": 2}', b"\xff"])
def test_the_model_names_the_fault(text):
    with pytest.raises(ContentError) as quick:
        parse_quickly(text)
    with pytest.raises(ContentError) as slow:
        parse(text)
    assert (str(quick.value), quick.value.reason) == (str(slow.value), slow.value.reason)


class _Settled(BaseModel):
    model_config = ConfigDict(strict=True)


@pytest.mark.parametrize(
    "kind",
    [
        Annotated[int, Field(multiple_of=3)],
        Annotated[str, Field(pattern=r"^a|b$")],
        Annotated[str, AfterValidator(str.upper)],
        Annotated[str, BeforeValidator(str.upper)],
        Annotated[str, Field(alias="other")],
        Literal["a"] | int,
        dict[str, int],
        bytes,
    ],
)
def test_a_schema_that_is_not_understood_is_refused(kind):
    model = type("Odd", (_Settled,), {"__annotations__": {"value": kind}})
    with pytest.raises(UnknownSchemaError):
        twin_of(model)


def test_every_kind_has_a_twin():
    for row in ROWS:
        text = json.dumps(row).encode()
        made = taken(json.dumps(BATCH | {"measurements": [row]}).encode())
        assert made is not None
        assert same(plain(made.measurements[0]), plain(MEASUREMENT.validate_json(text)))


def test_a_time_finer_than_microseconds_is_what_the_model_makes_of_it():
    text = json.dumps(BATCH | {"sealed_at": "2026-11-01T10:00:00.9999999Z"}).encode()
    assert parse_quickly(text).sealed_at == parse(text).sealed_at


def test_there_is_a_twin_of_the_batch_with_the_pydantic_installed():
    assert twins._decode is not None


def test_without_a_twin_the_model_parses(monkeypatch):
    monkeypatch.setattr(twins, "_decode", None)
    assert type(twins.parse_quickly(TEXT.encode())) is Batch
