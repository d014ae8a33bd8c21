"""Intervals of differences: those of textbooks, and how often they find what is there and what is not."""

import numpy as np
import pytest
from scipy import stats

from bench import claims
from wwm.report import margins
from wwm.report.margins import Margin, Unknown


def test_of_two_rules_that_draw_nothing_it_is_the_paired_t_test_over_examples():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(60, 20, (2, 80))
    found, expected = margins.of_runs(ours, theirs), stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found == pytest.approx((np.mean(ours - theirs), interval.low, interval.high, expected.pvalue))


def test_where_all_examples_are_alike_it_is_welchs_test_over_seeds():
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(70, 2, 5), rng.normal(66, 1, 4)
    found, expected = (
        margins.of_runs(*(np.repeat(scores[:, None], 60, 1) for scores in (ours, theirs))),
        stats.ttest_ind(ours, theirs, equal_var=False),
    )
    interval = expected.confidence_interval(0.95)
    assert found == pytest.approx((ours.mean() - theirs.mean(), interval.low, interval.high, expected.pvalue))


def test_examples_that_are_hard_for_both_do_not_widen_the_interval():
    rng = np.random.default_rng(2)
    noise, hard = rng.normal(0, 10, (2, 5, 200)), rng.normal(0, 100, 200)
    with_hard, without = (margins.of_runs(60 + added + noise[0], 60 + added + noise[1]) for added in (hard, 0 * hard))
    assert with_hard == pytest.approx(without)


def test_the_same_answers_of_all_seeds_are_no_difference():
    same = np.tile(np.arange(100.0), (3, 1))
    assert margins.of_runs(same, same) == Margin(0, 0, 0, 1)


def test_few_seeds_examples_and_documents_have_no_interval():
    def runs(count: int, examples: int) -> np.ndarray:
        return np.random.default_rng(count).normal(0, 1, (count, examples))

    seeds = Unknown("fewer than 3 seeds or pairs")
    assert margins.of_runs(runs(2, 100), runs(3, 100)) == margins.of_runs(runs(3, 100), runs(1, 100)) == seeds
    asked = Unknown("fewer than 50 examples or documents")
    assert margins.of_runs(runs(3, 49), runs(3, 49)) == margins.of_documents(*np.ones((2, 49))) == asked
    counted = runs(1, 100)[0]  # draws nothing: one run is all there is
    assert isinstance(margins.of_runs(runs(3, 100), counted), Margin)


def test_the_bootstrap_has_the_interval_of_the_linear_approximation():
    rng = np.random.default_rng(3)
    characters = rng.integers(1, 9, 400).astype(float)
    fewer = 0.1 * characters + rng.normal(0, 1, 400) * characters**0.5
    drawn = margins.of_documents(fewer, characters)
    approximate = margins.of_runs(margins.ratios(fewer[None], characters)[0], np.zeros(400))
    assert drawn[:3] == pytest.approx(approximate[:3], abs=0.005)
    assert drawn == margins.of_documents(fewer, characters)


def test_of_pairs_the_mean_is_that_of_their_nats_per_character():
    rng = np.random.default_rng(4)
    characters, fewer = rng.integers(1, 9, 100), rng.normal(0.5, 1, (4, 100))
    found = margins.of_pairs(margins.ratios(fewer, characters))
    assert found.mean == pytest.approx(fewer.sum(1).mean() / characters.sum())


def test_holm_multiplies_the_smallest_p_by_their_number_and_never_turns_their_order():
    def tests(*values: float) -> list:
        return [Margin(1, 0, 2, p) for p in values]

    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04, of which the last is raised to
    # 0.06.
    assert margins.holm(tests(0.01, 0.04, 0.03, 0.005)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert margins.holm(tests(0.6, 0.9)) == [1.0, 1.0]
    assert margins.holm([]) == []
    assert margins.holm([Unknown("too few"), *tests(0.04)]) == [1.0, 0.04]  # which was no test


def scores(of_seeds: np.ndarray, of_examples: np.ndarray, both: float, rng: np.random.Generator) -> np.ndarray:
    return of_seeds[:, None] + of_examples + rng.normal(0, both, (len(of_seeds), len(of_examples)))


@pytest.mark.parametrize("level", [0.05, 0.01])
@pytest.mark.parametrize("gap", [0.9, 2.2])
def test_the_seeds_that_are_said_to_be_enough_find_the_difference_in_four_of_five_experiments(gap, level):
    rng, same = np.random.default_rng(0), np.zeros(60)
    seen = np.array([-1.0, 0.0, 1.0])  # deviation 1
    needed = margins.needed(scores(seen + gap, same, 0.01, rng), scores(seen, same, 0.01, rng), level)
    assert needed and needed.runs and needed.examples is None
    found = [
        margins.of_runs(*(scores(rng.normal(mean, 1, needed.runs), same, 0.01, rng) for mean in (gap, 0))).p < level
        for _ in range(400)
    ]
    assert 0.74 <= np.mean(found) <= 0.88


def test_where_nothing_is_told_more_is_needed_than_there_is():
    rng, counts = np.random.default_rng(0), []
    for _ in range(60):
        ours, theirs = (scores(rng.normal(mean, 1.5, 3), rng.normal(0, 10, 200), 20, rng) for mean in (3, 0))
        if margins.of_runs(ours, theirs).p >= 0.05:
            counts.append(margins.needed(ours, theirs, 0.05))
    counts = [one for one in counts if one]
    assert len(counts) > 20 and all((one.runs or 4) > 3 and (one.examples or 201) > 200 for one in counts)


def test_where_more_of_one_alone_will_not_do_more_of_both_is_needed():
    rng = np.random.default_rng(0)
    hard = np.tile([-10.0, 10.0], 150)  # for one of the two
    ours, theirs = scores(np.linspace(-3, 3, 5), hard, 1, rng), scores(np.linspace(-3, 3, 5), 0 * hard, 1, rng)
    ours, theirs = ours - ours.mean() + 1.0, theirs - theirs.mean()
    needed = margins.needed(ours, theirs, 0.05)
    assert needed and needed.runs and needed.examples and needed.runs > 5 and needed.examples > 300
    assert margins.enough(ours, theirs, 0.05) == (
        f"A difference of this size takes about {needed.runs} seeds and {needed.examples:,} scored examples to tell,"
        " and here are 300; more of one alone will not do."
    )
    assert margins.needed(ours - 0.9999, theirs, 0.05) is None
    assert margins.enough(ours - 1, theirs, 0.05).endswith(
        "is too small to tell by any realistic number of seeds and examples."
    )
    assert margins.Margin(-1e-9, -0.1, 1e-9, 1.0).difference() == "+0.00"


def test_what_is_open_among_many_tests_takes_more_than_alone():
    assert margins.open_level([0.01, 0.2, 1.0]) == pytest.approx(0.05 / 2)  # two are not told
    rng = np.random.default_rng(0)
    ours, theirs = (scores(rng.normal(mean, 2, 3), np.zeros(100), 1, rng) for mean in (2, 0))
    alone, among = (margins.needed(ours, theirs, level).runs for level in (0.05, 0.005))
    assert among > alone


def test_an_interval_without_0_that_is_open_is_explained_by_the_correction():
    told = margins.correction(Margin(1.3, 0.1, 2.5, 0.02), 0.08, 4)
    assert "of this comparison alone; among the 4 that were made" in told and told.endswith(
        "(p corrected for them, by Holm: 0.080)."
    )
    assert margins.correction(Margin(1.3, -0.1, 2.7, 0.08), 0.32, 4) == ""  # says so itself


SETTINGS = [claims.Setting(3, 200, 0.6, 0.1), claims.Setting(5, 200, 0.9, 0.3), claims.Setting(10, 1000, 0.6, 0.0)]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_of_two_equal_models_a_difference_is_found_in_about_5_percent(setting):
    assert 1 <= claims.claimed(np.random.default_rng(0), setting, 600) <= 7


def test_ten_seeds_find_two_deviations_in_nearly_all_cases():
    setting = claims.Setting(10, 1000, 0.6, 0.1)
    rng = np.random.default_rng(0)
    assert claims.claimed(rng, setting, 200, claims.gain(setting, 2 * claims.deviation(rng, setting))) >= 95


def test_a_difference_of_equal_models_over_documents_is_found_in_about_5_percent():
    assert 2 <= claims.words_claimed(np.random.default_rng(0), 100, 400) <= 8
