"""What “Even Out the Rest” does: the sum fits exactly, and nothing leaves 0 to 100 percent."""

from fractions import Fraction

import pytest
from conftest import load_tools
from hypothesis import given
from hypothesis import strategies as st

load_tools("milestone_billing")
from milestone_billing_tools.even_out import STEP, EvenOutError, even_out

PERCENTS = st.lists(st.integers(0, 100 * 10**6).map(lambda steps: steps * STEP), min_size=1, max_size=12)


@given(PERCENTS)
def test_the_sum_is_exactly_one_hundred_or_it_is_refused(percents):
    missing = 100 - sum(percents)
    try:
        result = even_out(missing, percents)
    except EvenOutError as refusal:
        assert refusal.left == missing
        return
    assert sum(result) == 100
    assert all(0 <= percent <= 100 for percent in result)


@given(st.integers(1, 40))
def test_empty_milestones_share_evenly_to_one_step_each(count):
    result = even_out(Fraction(100), [Fraction(0)] * count)
    assert sum(result) == 100
    assert max(result) - min(result) < count * STEP


def test_milestones_without_a_percentage_are_served_first():
    assert even_out(Fraction(60), [Fraction(40), Fraction(0), Fraction(0)]) == [40, 30, 30]


def test_too_much_is_taken_from_those_that_have_one():
    assert even_out(Fraction(-20), [Fraction(60), Fraction(60), Fraction(0)]) == [50, 50, 0]


def test_nobody_to_take_the_rest_is_refused():
    with pytest.raises(EvenOutError):
        even_out(Fraction(1), [])
