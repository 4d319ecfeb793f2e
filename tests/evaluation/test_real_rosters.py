"""Venezuela and the border of Ukraine: what power does to a roster, and what must not fire."""

import pytest

from civobs_collector.detect.params import Params
from civobs_collector.evaluate.names import Form
from civobs_collector.evaluate.run import Wanted, evaluate
from tests.evaluation import ukraine, venezuela
from tests.evaluation.data import missing


@pytest.mark.skipif(bool(missing(*venezuela.FILE)), reason=missing(*venezuela.FILE))
def test_the_blackout_of_venezuela_is_an_outage_of_twelve_states_and_no_shutdown(tmp_path):
    made = evaluate(Wanted(Form.ROSTER, [venezuela.roster(tmp_path)], venezuela.truth(tmp_path)), Params())
    assert {one.kind for one in made.events} == {"outage"}
    assert len(made.events) == 12
    assert made.score is not None
    assert (made.score.all.recall, made.score.all.precision) == (1.0, 1.0)
    assert made.score.n_quiet_kept == made.score.n_quiet == 14
    # The states go dark over four to five hours; half of them are gone after two.
    assert made.score.all.start_error_s.p90 <= 2 * 3600
    assert made.score.all.delay_s.p90 <= 4 * 3600


@pytest.mark.skipif(bool(missing(*ukraine.FILE)), reason=missing(*ukraine.FILE))
@pytest.mark.parametrize("form", [Form.ROSTER, Form.COUNTS])
def test_nothing_fires_on_the_quiet_border(tmp_path, form):
    path = ukraine.roster(tmp_path) if form is Form.ROSTER else ukraine.counts(tmp_path)
    made = evaluate(Wanted(form, [path], ukraine.truth(tmp_path)), Params())
    assert made.events == []
    assert made.score is not None
    assert made.score.n_quiet_kept == 10
