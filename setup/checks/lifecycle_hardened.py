# Runs in Odoo's shell as the role that the tables of evidence do not belong to: work goes on, and erasing too.
# ruff: noqa: F821 - the shell gives env
line = env["milestone.billing.line"].search([]).filtered("evidence_ids")[:1]
env.cr.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
role, is_super = env.cr.fetchone()
assert not is_super, role
for name in ("", ".value", ".snapshot", ".leaf", ".checkpoint", ".anchor"):
    model = env[f"milestone.billing.evidence{name}"]
    assert model._is_hardened(), name
    assert not model._get_missing_guards(), name
line._log_evidence("review.presented", pii={"actor_name": "Zoe", "ip": "203.0.113.7"})
env.cr.commit()
env["milestone.billing.evidence.leaf"]._cron_maintain_log()
value = env["milestone.billing.evidence.value"].search([("chain_id", "=", line.evidence_uuid)], limit=1)
found = {line.evidence_uuid: {"values": value.ids, "snapshots": []}}
env["milestone.billing.evidence.erasure"]._erase(found, basis="request", ticket="T-1")
env.cr.commit()
env.invalidate_all()
assert value.erased_at and not value.value
result = line.verify_evidence()
assert result["ok"], result["problems"]
