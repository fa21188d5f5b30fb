import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

from odoo import SUPERUSER_ID, api
from odoo.tests.common import tagged
from odoo.tools import mute_logger

from .common_race import CONCURRENCY_ERRORS, RaceCommon

WORKERS = 6
TIMEOUT_SECONDS = 60
RETRY_COUNT_MAX = 50


@tagged("-standard", "-at_install", "post_install", "milestone_race")
class TestEvidenceRace(RaceCommon):
    """Real transactions side by side on the same chains."""

    def append(self, chains, turn=0):
        """Append one event to each chain in a transaction of its own, tried again as Odoo does; give the tries."""
        for attempt in range(RETRY_COUNT_MAX):
            try:
                with self.registry.cursor() as cr:
                    env = api.Environment(cr, SUPERUSER_ID, {})
                    company = env["res.company"].search([], limit=1)
                    events = [
                        {"chain_id": chain, "company": company, "type": "test.case", "data": {"turn": turn}}
                        for chain in chains
                    ]
                    env["milestone.billing.evidence"]._append(events)
                return attempt + 1
            except CONCURRENCY_ERRORS:
                continue
        raise AssertionError("an append did not get through")

    def verify(self, chain):
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            return env["milestone.billing.evidence"]._verify_chain(chain)

    def run_together(self, *calls):
        """Run calls at the same moment in threads of their own."""
        barrier = threading.Barrier(len(calls))

        def run(call):
            barrier.wait(timeout=TIMEOUT_SECONDS)
            return call()

        with ThreadPoolExecutor(max_workers=len(calls)) as executor:
            futures = [executor.submit(run, call) for call in calls]
            return [future.result(timeout=TIMEOUT_SECONDS) for future in futures]

    @mute_logger("odoo.sql_db")
    def test_first_entries_of_one_chain_take_places_without_a_gap(self):
        chain = str(uuid.uuid4())
        self.run_together(*(lambda turn=turn: self.append([chain], turn) for turn in range(WORKERS)))
        result = self.verify(chain)
        self.assertEqual((result["ok"], result["entries"]), (True, WORKERS), result["problems"])

    @mute_logger("odoo.sql_db")
    def test_bulk_calls_in_opposite_order_do_not_block_each_other(self):
        chains = [str(uuid.uuid4()) for _index in range(20)]
        self.append(chains)
        calls = [
            lambda: self.append(chains),
            lambda: self.append(chains[::-1]),
            lambda: self.append(chains[5:15]),
        ]
        self.run_together(*calls)
        for index, chain in enumerate(chains):
            result = self.verify(chain)
            expected = 4 if 5 <= index < 15 else 3
            self.assertEqual((result["ok"], result["entries"]), (True, expected), result["problems"])

    def test_second_transaction_waits_and_then_goes_on_after_the_first(self):
        chain = str(uuid.uuid4())
        self.append([chain])
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["milestone.billing.evidence"]._append([{"chain_id": chain, "type": "test.case"}])
            with ThreadPoolExecutor(max_workers=1) as executor, mute_logger("odoo.sql_db"):
                second = executor.submit(self.append, [chain])
                self.assertRaises(TimeoutError, second.result, timeout=1)
                cr.commit()  # pylint: disable=invalid-commit
                second.result(timeout=TIMEOUT_SECONDS)
        result = self.verify(chain)
        self.assertEqual((result["ok"], result["entries"]), (True, 3), result["problems"])

    def test_rolled_back_entries_leave_no_gap(self):
        chain = str(uuid.uuid4())
        self.append([chain])
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["milestone.billing.evidence"]._append([{"chain_id": chain, "type": "test.case"}])
            cr.rollback()
        self.append([chain])
        result = self.verify(chain)
        self.assertEqual((result["ok"], result["entries"]), (True, 2), result["problems"])

    def test_committed_entries_are_in_the_company_log_at_once(self):
        chain = str(uuid.uuid4())
        self.append([chain])
        self.assertEqual(self.count_leaves([chain]), 1)

    @mute_logger("odoo.sql_db")
    def test_sequencing_from_many_sides_gives_each_entry_one_place(self):
        chains = [str(uuid.uuid4()) for _index in range(WORKERS)]
        self.run_together(*(lambda chain=chain: self.append([chain]) for chain in chains))
        self.run_together(*(self.sequence for _index in range(WORKERS)))
        self.assertEqual(self.count_leaves(chains), WORKERS)
        with self.registry.cursor() as cr:
            cr.execute(
                "SELECT log_id, count(*), min(index), max(index) FROM milestone_billing_evidence_leaf GROUP BY log_id"
            )
            for log_id, count, first, last in cr.fetchall():
                self.assertEqual((first, last), (0, count - 1), log_id)

    def sequence(self):
        with self.registry.cursor() as cr:
            env = api.Environment(cr, SUPERUSER_ID, {})
            env["milestone.billing.evidence.leaf"]._cron_maintain_log()

    def count_leaves(self, chains):
        with self.registry.cursor() as cr:
            cr.execute(
                "SELECT count(*) FROM milestone_billing_evidence_leaf WHERE chain_id = ANY(%s)", [chains]
            )
            return cr.fetchone()[0]
