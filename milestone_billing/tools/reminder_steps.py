"""Which reminder is due on which date, and by which channel it goes."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import NamedTuple

EMAIL, SMS, ACTIVITY = "email", "sms", "activity"
START, DEADLINE = "start", "deadline"
# A calendar that never works must not keep the search going.
SEARCH_DAYS_MAX = 1100

IsWorking = Callable[[date], bool]


class Step(NamedTuple):
    """One step of the plan: so many working days before (negative) or after its anchor."""

    key: int
    anchor: str
    offset: int
    channel: str


class Anchors(NamedTuple):
    """The days that steps count from: when it was asked, and until when."""

    start: date | None
    deadline: date | None


class DueSteps(NamedTuple):
    """Steps to take today, and steps that are overtaken by later ones and never taken."""

    take: list
    overtaken: list


def due_date(anchor: date, offset: int, is_working: IsWorking) -> date | None:
    """Count working days from a day.

    :param int offset: working days after the anchor, or before it when negative; 0 is the anchor itself, or
        the next working day when it is none.
    :return: a working day, or None if there is none within three years.
    """
    day, left = anchor, abs(offset)
    move = timedelta(days=-1 if offset < 0 else 1)
    for _turn in range(SEARCH_DAYS_MAX):
        if not left and is_working(day):
            return day
        day += move
        if left and is_working(day):
            left -= 1
    return None


def planned(steps: Iterable[Step], anchors: Anchors, is_working: IsWorking) -> list[tuple[date, Step]]:
    """Give each step its day, earliest first; steps whose anchor is unknown are left out."""
    found = []
    for step in steps:
        anchor = anchors.start if step.anchor == START else anchors.deadline
        day = anchor and due_date(anchor, step.offset, is_working)
        if day:
            found.append((day, step))
    return sorted(found)


def due_steps(
    steps: Iterable[Step], anchors: Anchors, today: date, done: Iterable[int], is_working: IsWorking
) -> DueSteps:
    """Find what to do today for one thing that is waited for.

    Nobody is written to on a day off, nor twice on one day: when several steps have come up (the server stood
    still, a step was added), only the last message and the last activity are taken.

    :param steps: the company's plan.
    :param done: keys of steps that were taken or left out before.
    """
    done = set(done)
    if not is_working(today):
        return DueSteps([], [])
    days = planned(steps, anchors, is_working)
    take, overtaken = [], []
    for is_activity in (False, True):
        kind = [
            (day, step) for day, step in days if (step.channel == ACTIVITY) is is_activity and day <= today
        ]
        last_done = max((day for day, step in kind if step.key in done), default=date.min)
        open_steps = [(day, step) for day, step in kind if step.key not in done]
        later = [step for day, step in open_steps if day > last_done]
        take += later[-1:]
        overtaken += [step for _day, step in open_steps if step not in later[-1:]]
    return DueSteps(take, overtaken)


def next_date(
    steps: Iterable[Step], anchors: Anchors, today: date, done: Iterable[int], is_working: IsWorking
) -> date | None:
    """Tell when the next step comes up after today."""
    done = set(done)
    days = [day for day, step in planned(steps, anchors, is_working) if day > today and step.key not in done]
    return days[0] if days else None


def choose_channel(
    wanted: str, preference: str | None, has_email: bool, has_number: bool
) -> tuple[str | None, str | None]:
    """Choose how one person is reminded.

    :param str wanted: channel of the step.
    :param preference: ``email``, ``sms``, ``none`` or nothing, as the person chose.
    :return: the channel (None: not at all) and a reason when it is not the wanted one: ``stopped``, ``chosen``,
        ``bad_number``, ``no_email`` or ``unreachable``.
    """
    if preference == "none":
        return None, "stopped"
    channel = preference if preference in (EMAIL, SMS) else wanted
    reason = "chosen" if channel != wanted else None
    if channel == SMS and not has_number:
        return (EMAIL, "bad_number") if has_email else (None, "unreachable")
    if channel == EMAIL and not has_email:
        return (SMS, "no_email") if has_number else (None, "unreachable")
    return channel, reason
