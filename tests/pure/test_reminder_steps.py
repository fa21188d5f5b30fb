"""Which reminder is due when: working days, catching up, channels."""

import unittest
from datetime import date, timedelta

from conftest import load_tools

load_tools("milestone_billing")
from milestone_billing_tools import reminder_steps as rules

FRIDAY, MONDAY = date(2026, 3, 13), date(2026, 3, 16)


def weekdays(day):
    return day.weekday() < 5


class TestDueDate(unittest.TestCase):
    def test_weekends_are_not_counted(self):
        self.assertEqual(rules.due_date(FRIDAY, 1, weekdays), MONDAY)
        self.assertEqual(rules.due_date(MONDAY, -1, weekdays), FRIDAY)
        self.assertEqual(rules.due_date(FRIDAY, 5, weekdays), FRIDAY + timedelta(days=7))

    def test_day_itself_or_the_next_working_one(self):
        self.assertEqual(rules.due_date(MONDAY, 0, weekdays), MONDAY)
        self.assertEqual(rules.due_date(MONDAY - timedelta(days=2), 0, weekdays), MONDAY)

    def test_anchor_on_a_day_off(self):
        saturday = FRIDAY + timedelta(days=1)
        self.assertEqual(rules.due_date(saturday, 1, weekdays), MONDAY)
        self.assertEqual(rules.due_date(saturday, -1, weekdays), FRIDAY)

    def test_holiday_moves_the_day(self):
        self.assertEqual(
            rules.due_date(FRIDAY, 1, lambda day: weekdays(day) and day != MONDAY),
            MONDAY + timedelta(days=1),
        )

    def test_calendar_that_never_works_ends(self):
        self.assertIsNone(rules.due_date(FRIDAY, 1, lambda _day: False))

    def test_result_is_a_working_day_with_the_right_distance(self):
        for start in range(14):
            anchor = FRIDAY + timedelta(days=start)
            for offset in range(-30, 31):
                day = rules.due_date(anchor, offset, weekdays)
                self.assertTrue(weekdays(day))
                low, high = min(anchor, day), max(anchor, day)
                between = [low + timedelta(days=n) for n in range((high - low).days + 1)]
                worked = sum(1 for item in between if item != anchor and weekdays(item))
                if offset:
                    self.assertEqual(worked, abs(offset))


class TestDueSteps(unittest.TestCase):
    def setUp(self):
        self.plan = [
            rules.Step(1, rules.START, 2, rules.EMAIL),
            rules.Step(2, rules.START, 4, rules.SMS),
            rules.Step(3, rules.START, 6, rules.ACTIVITY),
            rules.Step(4, rules.DEADLINE, -1, rules.EMAIL),
        ]
        self.anchors = rules.Anchors(MONDAY, MONDAY + timedelta(days=21))

    def due(self, days, done=()):
        day = MONDAY + timedelta(days=days)
        found = rules.due_steps(self.plan, self.anchors, day, done, weekdays)
        return [step.key for step in found.take], [step.key for step in found.overtaken]

    def test_nothing_before_its_day(self):
        self.assertEqual(self.due(1), ([], []))

    def test_one_step_on_its_day_and_not_again(self):
        self.assertEqual(self.due(2), ([1], []))
        self.assertEqual(self.due(2, done=[1]), ([], []))

    def test_after_a_standstill_only_the_last_message_goes(self):
        self.assertEqual(self.due(8), ([2, 3], [1]))

    def test_nobody_is_written_to_on_a_day_off(self):
        self.assertEqual(self.due(5), ([], []))

    def test_step_added_later_in_the_plan_is_not_sent_late(self):
        self.assertEqual(self.due(8, done=[2, 3]), ([], [1]))

    def test_unknown_deadline_leaves_its_steps_out(self):
        self.anchors = rules.Anchors(MONDAY, None)
        self.assertEqual(self.due(90, done=[1, 2, 3]), ([], []))

    def test_next_date_is_shown(self):
        today = MONDAY + timedelta(days=2)
        self.assertEqual(
            rules.next_date(self.plan, self.anchors, today, [1], weekdays), MONDAY + timedelta(days=4)
        )
        self.assertIsNone(rules.next_date(self.plan, self.anchors, today + timedelta(days=60), [1], weekdays))

    def test_plan_is_run_through_day_by_day_exactly_once(self):
        done, taken = [], []
        for days in range(60):
            day = MONDAY + timedelta(days=days)
            found = rules.due_steps(self.plan, self.anchors, day, done, weekdays)
            taken += [step.key for step in found.take]
            done += [step.key for step in [*found.take, *found.overtaken]]
        self.assertEqual(taken, [1, 2, 3, 4])


class TestChannel(unittest.TestCase):
    def test_wanted_channel_is_taken_when_it_can(self):
        self.assertEqual(rules.choose_channel("sms", None, True, True), ("sms", None))

    def test_client_decides(self):
        self.assertEqual(rules.choose_channel("sms", "email", True, True), ("email", "chosen"))
        self.assertEqual(rules.choose_channel("email", "none", True, True), (None, "stopped"))

    def test_bad_number_goes_by_mail_and_says_so(self):
        self.assertEqual(rules.choose_channel("sms", None, True, False), ("email", "bad_number"))

    def test_missing_mail_goes_by_text(self):
        self.assertEqual(rules.choose_channel("email", None, False, True), ("sms", "no_email"))

    def test_nobody_is_skipped_in_silence(self):
        self.assertEqual(rules.choose_channel("email", None, False, False), (None, "unreachable"))
