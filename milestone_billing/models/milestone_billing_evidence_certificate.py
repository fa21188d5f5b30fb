import hashlib
import json
import logging

from odoo import api, fields, models
from odoo.exceptions import ConcurrencyError, UserError
from odoo.service.model import PG_CONCURRENCY_EXCEPTIONS_TO_RETRY
from psycopg2.errors import UniqueViolation

from ..tools.evidence_summary import Event, summarize
from ..tools.verify import canonical

_logger = logging.getLogger(__name__)
# States in which a certificate is issued; before that there is only an interim copy.
DECIDED = ("approved", "declined", "changes_requested", "contested", "deemed_accepted")


class MilestoneBillingEvidenceCertificate(models.Model):
    """An issued certificate: the PDF file, and which state of the chain it prints.

    The entry `certificate.issued` holds its hash; the file itself repeats personal data, so it goes when they go.
    """

    _name = "milestone.billing.evidence.certificate"
    _description = "Milestone Approval Certificate"
    _order = "id desc"
    _rec_name = "number"

    number = fields.Char(required=True, readonly=True)
    chain_id = fields.Char(required=True, readonly=True, index=True)
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    state = fields.Char(string="Printed State", required=True, readonly=True)
    result_sha256 = fields.Char(string="Printed Result", required=True, readonly=True)
    sha256 = fields.Char(string="SHA-256", required=True, readonly=True)
    pdf = fields.Binary(string="File", readonly=True, attachment=True)

    _number_unique = models.UniqueIndex("(chain_id, number)", "A certificate has a number of its own.")

    @api.model
    def _get_story(self, line):
        """Tell the chain of a milestone by its events; see `tools/evidence_summary.py`.

        :rtype: dict
        """
        entries = (
            self.env["milestone.billing.evidence"].sudo().search([("chain_id", "=", line.evidence_uuid)])
        )
        domain = [("entry_id", "in", entries.ids)]
        values = self.env["milestone.billing.evidence.value"].sudo().search(domain).grouped("entry_id")
        events = [
            Event(
                json.loads(entry.body),
                entry.entry_hash,
                {value.name: value.value or None for value in values.get(entry.id, ())},
            )
            for entry in entries
        ]
        return summarize(events, line._get_snapshots())

    @api.model
    def _get_current(self, line, story=None):
        """Give the certificate that prints the present state of a milestone, if it was issued and is still there."""
        story = story or self._get_story(line)
        domain = [
            ("chain_id", "=", line.evidence_uuid),
            ("result_sha256", "=", self._hash_result(story)),
        ]
        return self.sudo().search(domain, limit=1)

    @api.model
    def _hash_result(self, story):
        return hashlib.sha256(canonical([story["result"], story["erased"]])).hexdigest()

    @api.model
    def _get_or_issue(self, line):
        """Give the certificate of the present state; issue it when there is none.

        :return: the certificate; empty while the client has not decided.
        """
        story = self._get_story(line)
        current = self._get_current(line, story)
        if current or story["result"]["state"] not in DECIDED:
            return current
        try:
            with self.env.cr.savepoint():
                return self._issue(line, story)
        except UniqueViolation as error:
            # Somebody else was first, and this transaction began too early to see it: it is to be tried again.
            raise ConcurrencyError(f"certificate of {line.reference}") from error

    @api.model
    def _issue(self, line, story):
        """Print and keep the next certificate of a milestone, and record that it was issued."""
        issued = [event for event in story["events"] if event.type == "certificate.issued"]
        number = f"{line.reference}-C{len(issued) + 1}"
        pdf, seal = self._render_sealed(line, number)
        digest, state = hashlib.sha256(pdf).hexdigest(), story["result"]["state"]
        certificate = self.sudo().create(
            {
                "number": number,
                "chain_id": line.evidence_uuid,
                "company_id": line.company_id.id,
                "state": state,
                "result_sha256": self._hash_result(story),
                "sha256": digest,
            }
        )
        certificate._keep_pdf(pdf)
        last = story["events"][-1]
        line.sudo()._log_evidence(
            "certificate.issued",
            actor_kind="system",
            subject={key: value for key, value in last.subject.items() if key in ("request_id", "revision")},
            data={
                "number": number,
                "pdf_sha256": digest,
                "sealed_by": seal.fingerprint if seal else None,
                "state": state,
                "result_sha256": certificate.result_sha256,
                "head_seq": last.body["seq"],
                "chain_head": last.hash,
            },
        )
        return certificate

    def _keep_pdf(self, content):
        """Store the printed certificate as it is, without a second encoding on the way."""
        self.ensure_one()
        self.env["ir.attachment"].sudo().create(
            {
                "name": f"{self.number}.pdf",
                "res_model": self._name,
                "res_field": "pdf",
                "res_id": self.id,
                "type": "binary",
                "mimetype": "application/pdf",
                "raw": content,
            }
        )
        self.invalidate_recordset(["pdf"])

    @api.model
    def _render(self, line, number, reader="client", **options):
        """Print the certificate.

        :param str reader: `dispute` shows addresses in full; every other copy masks them.
        :param options: `seal`, what the file will be sealed with, as a dictionary; `is_short`, leave the list of
            events to the timeline that goes with it.
        :rtype: bytes
        :raise UserError: when the server has no PDF engine.
        """
        report = self.env["ir.actions.report"].sudo().with_context(force_report_rendering=True)
        language = line.order_id.partner_id.lang or self.env.lang
        content, _kind = report.with_context(lang=language)._render_qweb_pdf(
            "milestone_billing.action_report_certificate",
            res_ids=line.ids,
            data={"number": number, "reader": reader, **options},
        )
        return content

    def _get_pdf(self):
        """Give the bytes of one certificate; None when the file is gone or is not the one that was issued."""
        self.ensure_one()
        raw = self._read_file()
        return raw if hashlib.sha256(raw).hexdigest() == self.sha256 else None

    def _read_file(self):
        self.ensure_one()
        domain = [("res_model", "=", self._name), ("res_field", "=", "pdf"), ("res_id", "=", self.id)]
        return self.env["ir.attachment"].sudo().search(domain, limit=1).raw or b""

    @api.model
    def _is_known(self, number, chain_hash):
        """Tell whether a certificate of this number belongs to the chain that holds this hash, and nothing else.

        For the public page: whoever has neither learns nothing. It asks the chain and not these records, since a
        certificate that was erased was issued all the same.

        :param str number: as printed on the certificate.
        :param str chain_hash: the head printed on it, or that in a receipt, 64 hex digits.
        :rtype: bool
        """
        Evidence = self.env["milestone.billing.evidence"].sudo()
        entry = Evidence.search([("entry_hash", "=", (chain_hash or "").strip().lower())], limit=1)
        domain = [("chain_id", "=", entry.chain_id), ("type", "=", "certificate.issued")]
        issued = Evidence.search(domain) if entry else Evidence
        return any(item._get_body()["data"].get("number") == (number or "").strip() for item in issued)

    @api.model
    def _cron_issue(self):
        """Issue certificates of decided milestones in the background, so that a decision does not wait for a PDF."""
        lines = self._find_without()
        cron = self.env["ir.cron"]
        cron._commit_progress(remaining=len(lines))
        for place, line in enumerate(lines):
            try:
                with self.env.cr.savepoint():
                    self._get_or_issue(line)
            except (ConcurrencyError, *PG_CONCURRENCY_EXCEPTIONS_TO_RETRY):
                cron._give_way(len(lines) - place)
                return
            except (UserError, ValueError) as error:
                _logger.warning("The certificate of %s could not be issued: %s", line.reference, error)
            if not cron._commit_progress(1):
                break

    @api.model
    def _find_without(self, limit=200):
        """Give milestones with a decision after their last certificate."""
        self.env.cr.execute(
            """
            SELECT entry.chain_id FROM milestone_billing_evidence AS entry
             WHERE entry.type IN ('request.approved', 'approval.declined', 'approval.changes_requested',
                                  'approval.repudiated', 'request.deemed_accepted')
               AND NOT EXISTS (SELECT 1 FROM milestone_billing_evidence AS issued
                                WHERE issued.chain_id = entry.chain_id AND issued.type = 'certificate.issued'
                                  AND issued.seq > entry.seq)
          GROUP BY entry.chain_id ORDER BY max(entry.id) LIMIT %s
            """,
            [limit],
        )
        chains = [chain_id for (chain_id,) in self.env.cr.fetchall()]
        return self.env["milestone.billing.line"].sudo().search([("evidence_uuid", "in", chains)])


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_certificate(self):
        """Give the certificate of one milestone's present state, issued now if need be.

        :return: `milestone.billing.evidence.certificate`, empty while the client has not decided.
        :raise UserError: when the server has no PDF engine.
        """
        self.ensure_one()
        return self.env["milestone.billing.evidence.certificate"]._get_or_issue(self)

    def _prepare_bundle_certificate(self):
        """Give the certificate for a bundle; a server without a PDF engine exports without it."""
        try:
            with self.env.cr.savepoint():
                certificate = self._get_certificate()
        except UserError as error:
            _logger.warning("The evidence of %s is exported without certificate: %s", self.reference, error)
            return {}
        pdf = certificate._get_pdf() if certificate else None
        return {"certificate.pdf": pdf} if pdf else {}
