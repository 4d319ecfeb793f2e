from pathlib import Path

from civobs_collector.api import openapi

COMMITTED = Path(__file__).parents[2] / "docs" / "api" / "openapi.json"


def test_the_committed_openapi_document_is_current(capsys):
    assert openapi.main(["--check", str(COMMITTED)]) == 0, capsys.readouterr().err


def test_a_document_that_differs_is_named_with_the_remedy(tmp_path, capsys):
    stale = tmp_path / "openapi.json"
    stale.write_text("{}")
    assert openapi.main(["--check", str(stale)]) == 1
    assert "python -m civobs_collector.api.openapi" in capsys.readouterr().err
    assert openapi.main([str(stale)]) == 0
    assert stale.read_text() == COMMITTED.read_text()


def test_it_is_openapi_3_1_and_shows_no_page():
    document = openapi.document()
    assert '"openapi": "3.1' in document
    assert '"/countries/{cc}"' not in document
