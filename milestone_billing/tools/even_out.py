"""Give the percentage that is missing evenly to open milestones."""

from fractions import Fraction

STEP = Fraction(1, 10**6)  # percentages are stored with six decimals


class EvenOutError(ValueError):
    """The open milestones cannot take what is missing or too much; ``left`` is the rest in percent."""

    def __init__(self, left):
        super().__init__(f"{left} percent cannot be given to the open milestones")
        self.left = left


def even_out(missing, percents):
    """Spread a missing percentage evenly over milestones.

    Milestones without a percentage take all of it; when each has one, all of them change by the same share.
    What the six decimals cannot express goes to the last milestone, so that the sum is exact to the step.

    :param Fraction missing: percent to add, negative to take away.
    :param list[Fraction] percents: present percent of each open milestone.
    :return: new percentages in the same order.
    :rtype: list[Fraction]
    :raise EvenOutError: without a milestone to take it, or if one would fall below zero or pass 100.
    """
    empty = [index for index, percent in enumerate(percents) if not percent]
    takers = empty or list(range(len(percents)))
    if not takers or (missing < 0 and empty and len(empty) < len(percents)):
        takers = [index for index, percent in enumerate(percents) if percent]
    if not takers:
        raise EvenOutError(missing)
    each = Fraction(int(missing / len(takers) / STEP)) * STEP
    result = list(percents)
    for index in takers:
        result[index] += each
    result[takers[-1]] += missing - each * len(takers)
    if any(percent < 0 or percent > 100 for percent in result):
        raise EvenOutError(missing)
    return result
