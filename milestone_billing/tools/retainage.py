"""How much of a document the client holds back.

All amounts are whole units of the currency, on the base that the contract names (without or with tax).
"""

from dataclasses import dataclass
from fractions import Fraction

from .money import round_half_up


@dataclass(frozen=True)
class Step:
    """From ``completion`` (share of the contract) on: the rate for new work, and what is given back once."""

    completion: Fraction
    rate: Fraction
    release: Fraction = Fraction(0)


@dataclass(frozen=True)
class Terms:
    """What was agreed: rates as exact shares, ``cap`` in units, ``stop`` as share of the contract."""

    rate: Fraction
    to_date: bool = False
    cap: int | None = None
    stop: Fraction | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Position:
    """Where the contract stands before a document.

    ``withheld`` is what the documents of work have held back so far; ``held`` is what is still held, after
    releases.
    """

    contract: int
    before: int = 0
    withheld: int = 0
    held: int = 0


def retain(terms, position, work):
    """Compute what one document holds back; negative when it gives back.

    Never more than the cap leaves nor than the document bills, and never gives back more than is held.

    :param Terms terms: what was agreed.
    :param Position position: the contract before the document.
    :param int work: what the document bills, on the base of the retainage.
    :return: units.
    :rtype: int
    """
    after = position.before + work
    if terms.to_date:
        part = round_half_up(_rate_at(terms, position.contract, after) * after) - position.withheld
    else:
        part = round_half_up(
            _entitled(terms, position.contract, after) - _entitled(terms, position.contract, position.before)
        )
        part -= _stepped_release(terms, position, after)
    if terms.cap is not None and part > 0:
        part = min(part, max(terms.cap - position.withheld, 0))
    part = min(part, work) if work >= 0 else max(part, work)
    return max(part, -position.held)


def _steps(terms):
    """Give the steps that apply, the first one starting at zero, a stop being a step to nothing."""
    steps = [Step(Fraction(0), terms.rate), *sorted(terms.steps, key=lambda step: step.completion)]
    if terms.stop is not None:
        steps = [step for step in steps if step.completion < terms.stop] or steps[:1]
        steps.append(Step(terms.stop, Fraction(0)))
    return steps


def _rate_at(terms, contract, completed):
    """Give the rate of the step that a completion has reached."""
    share = Fraction(completed, contract) if contract else Fraction(0)
    return [step for step in _steps(terms) if step.completion <= max(share, 0)][-1].rate


def _entitled(terms, contract, completed):
    """Give what a completion entitles to hold back, the rate of each step on the work of that step."""
    steps, total = _steps(terms), Fraction(0)
    for place, step in enumerate(steps):
        start = step.completion * contract
        end = steps[place + 1].completion * contract if place + 1 < len(steps) else None
        reached = completed if end is None else min(completed, end)
        if place == 0 or reached > start:
            total += step.rate * (reached - start)
    return total


def _stepped_release(terms, position, after):
    """Give what the steps reached by this document give back of what is held."""
    held = position.held
    for step in terms.steps:
        if position.before < step.completion * position.contract <= after:
            held -= round_half_up(held * step.release)
    return position.held - held
