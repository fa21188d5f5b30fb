# Runs in Odoo's shell on a copy that was restored from a dump: evidence stays verifiable, and the copy is nobody else.
# ruff: noqa: F821 - the shell gives env
import base64
import subprocess
import sys
import tempfile
from pathlib import Path

from odoo.modules.neutralize import neutralize_database

Log, Checkpoint = env["milestone.billing.evidence.log"], env["milestone.billing.evidence.checkpoint"]
uuid = env["ir.config_parameter"].get_param("database.uuid")
(old_log,) = Log.search([("database_uuid", "=", uuid)])
old = (old_log.size, Checkpoint.search_count([("log_id", "=", old_log.log_id)]))
assert old[0] and old[1], old
assert env["milestone.billing.approval.link"].search_count([("state", "=", "queued")]), (
    "nothing waits to be sent"
)

# What Odoo does with a copy: another identity, and no voice to the outside.
env["ir.config_parameter"].init(force=True)
neutralize_database(env.cr)
env.cr.commit()
env.invalidate_all()
assert env["ir.config_parameter"].get_param("database.uuid") != uuid
assert not env["ir.cron"].search([("code", "like", "_cron_")]) or not env["ir.cron"].search(
    [("cron_name", "ilike", "milestone")]
), "jobs of the copy run"
mails = env["mail.mail"].search_count([])
env["milestone.billing.approval.link"]._cron_send_links()
env["milestone.billing.change.link"]._cron_send_links()
env["milestone.billing.webhook.delivery"]._cron_send_deliveries()
env["milestone.billing.evidence.anchor"]._cron_mail_checkpoints()
Stamp = env["milestone.billing.evidence.stamp"]
Stamp._cron_stamp()
assert Stamp.search([]).mapped("state") == ["failed"], "the copy asks for time stamps"
assert env["mail.mail"].search_count([]) == mails, "the copy writes in the name of the original"

# Everything is as it was, and goes on.
lines = env["milestone.billing.line"].search([]).filtered("evidence_ids")
assert len(lines) > 2, lines


def verify_all():
    env.invalidate_all()
    for line in lines:
        result = line.verify_evidence()
        assert result["ok"], (line.reference, result["problems"])


verify_all()
waiting = lines.filtered(lambda line: line.state == "submitted")[:1]
waiting._log_evidence("review.presented", actor_kind="system")
env.cr.commit()
env["milestone.billing.evidence.leaf"]._cron_maintain_log()
env.invalidate_all()
new_log = Log.search([("log_id", "=", waiting.evidence_ids[-1].log_id)])
assert new_log != old_log and new_log.origin != old_log.origin
assert Checkpoint.search_count([("log_id", "=", new_log.log_id)]) == 1
assert (old_log.size, Checkpoint.search_count([("log_id", "=", old_log.log_id)])) == old, (
    "the old log went on"
)

# A user leaves, and two contacts become one.
group = env.ref("milestone_billing.milestone_billing_group_billing_manager")
leaver = env["res.users"].create({"name": "Leaver", "login": "leaver", "group_ids": [(4, group.id)]})
waiting.with_user(leaver).action_set_legal_hold("case 1")
waiting.with_user(leaver).action_release_legal_hold("case 1")
env.cr.commit()
leaver_partner = leaver.partner_id
leaver.unlink()
leaver_partner.unlink()
contact = waiting.approval_ids.seat_ids.partner_id[:1]
twin = env["res.partner"].create({"name": "Twin", "email": contact.email})
env["base.partner.merge.automatic.wizard"].create({})._merge((twin + contact).ids, twin)
env.cr.commit()
env.invalidate_all()
assert not contact.exists() and waiting.approval_ids.seat_ids.partner_id == twin
verify_all()

# The bundle is good for an outsider, who is told that the first log proves entries which this copy's does not; the nightly
# run finds nothing.
result = waiting.export_evidence()
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, result["filename"])
    path.write_bytes(base64.b64decode(result["content"]))
    verify = Path(sys.modules["odoo.addons.milestone_billing"].__path__[0], "tools/verify.py")
    done = subprocess.run([sys.executable, "-I", verify, path], capture_output=True, text=True, check=False)
told = [line.split() for line in done.stdout.splitlines()]
warned = [words[1:] for words in told if words[:1] == ["WARN"]]
assert done.returncode == 1 and len(warned) == 1, done.stdout
assert warned[0][0] == "log" and warned[0][2:] == ["entries", "have", "no", "proof"], done.stdout
env["milestone.billing.evidence.check"]._cron_verify()
check = env["milestone.billing.evidence.check"].search([], limit=1)
assert check.date_end and not check.problem_count and check.chain_count > 2, check.note
env.cr.commit()
