"""Paired differences, against cases that tables of Student's t give."""

import pytest

from wwm.report import paired


def test_difference_interval_and_p_are_those_of_the_paired_t_test():
    # Differences 1, 2, 3, 4: mean 2.5, deviation sqrt(5/3); t = 2.5 / (1.2910 / 2) = 3.873; with 3 degrees the 97.5 %
    # point is 3.1824.
    found = paired.paired([11, 22, 33, 44], [10, 20, 30, 40])
    assert (found.pairs, found.mean, found.deviation) == (4, 2.5, pytest.approx((5 / 3) ** 0.5))
    assert (found.low, found.high) == (
        pytest.approx(2.5 - 3.1824 * 0.6455, abs=1e-3),
        pytest.approx(2.5 + 3.1824 * 0.6455, abs=1e-3),
    )
    assert found.p == pytest.approx(0.0305, abs=2e-4)


def test_differences_that_are_all_the_same_have_an_interval_without_width():
    assert paired.paired([2, 3], [1, 2]) == (2, 1.0, 0.0, 1.0, 1.0, 0.0)
    assert paired.paired([1, 2], [1, 2]).p == 1.0


def test_pair_that_was_measured_on_one_side_is_left_out_and_one_pair_is_no_test():
    measures = {
        "reviews": {"a1": 70.0, "a2": 72.0, "a3": 75.0, "b1": 69.0, "b2": 70.0},
        "cloze": {"a1": 5.0, "b1": 4.0},
    }
    first, second = paired.rows(measures, ["a1", "a2", "a3"], ["b1", "b2", "b3"])
    assert first[:6] == ["reviews", "2", "71.00", "69.50", "+1.50", "0.71"]
    assert second == ["cloze", "1", *["n/a (fewer than two pairs)"] * 6]


def test_holm_multiplies_the_smallest_p_by_their_number_and_never_turns_their_order():
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 gives 0.02, 0.03, 0.06, 0.04, of which the last is raised to
    # 0.06.
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.6, 0.9]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_differences_that_only_rounding_tells_apart_are_the_same():
    assert paired.paired([71.2, 72.3], [70.1, 71.2])[2:] == pytest.approx((0.0, 1.1, 1.1, 0.0))
