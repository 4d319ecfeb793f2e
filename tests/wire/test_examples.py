"""The committed examples are what the models say, and the schemas beside them are current."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from civobs_wire import batch, schema
from civobs_wire.envelope import public_key
from civobs_wire.measurement import KIND_CODES, KINDS, MEASUREMENT

WIRE = Path(__file__).parents[2] / "wire"
EXAMPLES = WIRE / "examples"
MEASUREMENTS = [*KINDS, "not-run"]


def strict_keys(given, taken):
    """Every key of the example is one the model knows: reading ignores unknown ones, an example may not have any."""
    if isinstance(given, dict):
        assert set(given) <= set(taken), set(given) - set(taken)
        for key, value in given.items():
            strict_keys(value, taken[key])
    elif isinstance(given, list):
        for one, other in zip(given, taken, strict=True):
            strict_keys(one, other)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_kind_has_a_golden_example_that_survives_a_round_trip(name):
    text = (EXAMPLES / f"{name}.json").read_text()
    row = MEASUREMENT.validate_json(text)
    assert MEASUREMENT.validate_json(MEASUREMENT.dump_json(row)) == row
    strict_keys(json.loads(text), json.loads(MEASUREMENT.dump_json(row)))


@pytest.mark.parametrize("name", schema.DOCUMENTS)
def test_every_document_has_an_example_that_fits_model_and_schema(name):
    text = (EXAMPLES / f"{name}.json").read_text()
    document = schema.DOCUMENTS[name].model_validate_json(text)
    strict_keys(json.loads(text), json.loads(document.model_dump_json()))
    committed = json.loads((WIRE / "schema" / f"{name}.schema.json").read_text())
    Draft202012Validator(committed).validate(json.loads(text))


def test_every_kind_has_a_code_and_codes_differ():
    assert set(KIND_CODES) == set(KINDS)
    assert len(set(KIND_CODES.values())) == len(KIND_CODES)


def test_the_packed_example_opens_to_the_plain_one():
    packed = json.loads((EXAMPLES / "batch.message.json").read_text())
    opened = batch.unpack(bytes.fromhex(packed["message_hex"]), public_key(packed["public_key"]))
    assert opened == batch.parse((EXAMPLES / "batch.json").read_bytes())


def test_the_committed_schemas_are_current():
    for name, content in schema.rendered().items():
        assert (WIRE / "schema" / name).read_text() == content, f"{name} is stale"


def test_a_stale_schema_fails_the_check(tmp_path):
    assert schema.main([str(tmp_path)]) == 0
    assert schema.main([str(tmp_path), "--check"]) == 0
    (tmp_path / "batch.schema.json").write_text("{}")
    assert schema.main([str(tmp_path), "--check"]) == 1
