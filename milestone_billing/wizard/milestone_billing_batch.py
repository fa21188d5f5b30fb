from odoo import api, fields, models
from odoo.exceptions import RedirectWarning, UserError


class MilestoneBillingBatch(models.TransientModel):
    """One step for many milestones, after a look at what the clients will receive."""

    _name = "milestone.billing.batch"
    _description = "Milestones: One Step for Many"

    operation = fields.Selection(
        [
            ("complete", "Complete"),
            ("resend", "Send again"),
            ("remind", "Remind"),
            ("hold", "Hold"),
            ("open", "Open before payment"),
        ],
        required=True,
        default="complete",
    )
    line_ids = fields.Many2many(
        "milestone.billing.line",
        string="Milestones",
        required=True,
        default=lambda self: self._default_line_ids(),
    )
    reason = fields.Char(help="Shown to the team on each milestone.")
    preview = fields.Html(compute="_compute_preview", sanitize=False)
    ready_count = fields.Integer(compute="_compute_preview")
    sends_mail = fields.Boolean(compute="_compute_preview")
    mail_preview = fields.Html(readonly=True, sanitize=False)

    def _default_line_ids(self):
        if self.env.context.get("active_model") == "milestone.billing.line":
            return self.env["milestone.billing.line"].browse(self.env.context.get("active_ids", []))
        return self.env["milestone.billing.line"]

    @api.depends("operation", "line_ids")
    def _compute_preview(self):
        for batch in self:
            rows = [batch._prepare_preview_row(line) for line in batch.line_ids._origin]
            batch.ready_count = sum(not row["obstacle"] for row in rows)
            batch.sends_mail = batch.operation != "remind" and any(row["recipients"] for row in rows)
            batch.preview = self.env["ir.qweb"]._render(
                "milestone_billing.batch_preview", {"rows": rows, "operation": batch.operation}
            )

    def _prepare_preview_row(self, line):
        """Say what the step does to one milestone and what its client receives.

        :rtype: dict
        """
        obstacle = self._get_obstacle(line)
        return {
            "line": line,
            "obstacle": obstacle,
            "outcome": "" if obstacle else self._get_outcome(line),
            "recipients": [] if obstacle else self._get_recipients(line),
        }

    def _get_obstacle(self, line):
        if self.operation == "hold":
            if line.is_on_hold:
                return self.env._("It is on hold already.")
            if line.state == "cancelled" or line.invoice_status in ("posted", "partial", "paid", "before"):
                return self.env._("It is billed or cancelled, there is nothing to hold.")
            return False
        if self.operation == "resend":
            return False if line.state == "submitted" else self.env._("It is not with the client.")
        if self.operation == "remind":
            return line._get_reminder_obstacle()
        if self.operation == "open":
            return False if line.is_blocked_by_payment else self.env._("It is not blocked by a payment.")
        return False if line.can_complete else line.blocked_reason or self.env._("It is billed already.")

    def _get_outcome(self, line):
        if self.operation == "hold":
            return self.env._("Nothing completes or posts it until it is resumed.")
        if self.operation == "resend":
            return self.env._("A new review link is sent to everybody who has not decided yet.")
        if self.operation == "remind":
            return line._get_reminder_outcome()
        if self.operation == "open":
            return self.env._("Time can be planned for it, and it can be completed, before the payment.")
        if line.approval_required:
            return self.env._("A draft invoice is made and the client is asked to review the work.")
        if line.company_id.milestone_invoice_posting == "always":
            return self.env._("The invoice is posted at once: no approval is asked.")
        return self.env._("A draft invoice is made and waits for finance.")

    def _get_recipients(self, line):
        """Give the people who receive a message.

        :rtype: res.partner
        """
        if self.operation == "resend":
            return line.sudo()._get_current_approval()._get_waiting_seats().partner_id
        if self.operation == "remind":
            return line.sudo()._get_reminder_partners(line._get_reminder_source()[0])
        if self.operation in ("hold", "open") or not line.approval_required:
            return self.env["res.partner"]
        return self.env["res.partner"].union(*(seat[0] for seat in line._get_approvers()))

    # === WHAT THE CLIENT RECEIVES ===

    def action_preview_mail(self):
        """Show the first mail that this step sends, as the client receives it; nothing is done.

        :raise UserError: if the step sends no mail.
        """
        self.ensure_one()
        self.line_ids.check_access("read")
        lines = self.line_ids.filtered(
            lambda line: not self._get_obstacle(line) and self._get_recipients(line)
        )
        if not lines:
            raise UserError(self.env._("This step sends no mail to any client."))
        with self.env.cr.savepoint() as savepoint:
            preview = self._render_first_mail(lines[0])
            savepoint.rollback()
        self.env.invalidate_all(flush=False)
        self.mail_preview = preview
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Milestones: Before You Go On"),
            "res_model": self._name,
            "res_id": self.id,
            "views": [(False, "form")],
            "target": "new",
        }

    def _render_first_mail(self, line):
        """Do the step for one milestone and render its first mail; the caller undoes it.

        :rtype: Markup
        """
        if self.operation == "complete":
            line.action_complete()
        approval = line.sudo()._get_current_approval()
        seat = approval._get_waiting_seats()[:1]
        link = approval.env["milestone.billing.approval.link"].create(
            {"seat_id": seat.id, "purpose": "resend"}
        )
        link = link.with_context(lang=seat.partner_id.lang or approval.lang)
        template = link._get_template().with_env(link.env)
        values = template._generate_template(link.ids, ("subject", "body_html", "email_from"))[link.id]
        return self.env["ir.qweb"]._render(
            "milestone_billing.batch_mail_preview",
            {
                "sender": values.get("email_from") or line.company_id.email_formatted,
                "recipient": seat.partner_id.email_formatted or seat.partner_id.name,
                "subject": values["subject"],
                "body": values["body_html"],
            },
        )

    def action_apply(self):
        """Do the step for all milestones that allow it.

        :raise UserError: if none of them does.
        """
        self.ensure_one()
        lines = self.line_ids.filtered(lambda line: not self._get_obstacle(line))
        if not lines:
            raise UserError(self.env._("None of the chosen milestones allows this step. See why below."))
        close = {"type": "ir.actions.act_window_close"}
        if self.operation == "complete":
            failed = self._complete(lines)
            return self._prepare_warning(failed, close) if failed else close
        self._do_step(lines)
        return close

    def _do_step(self, lines):
        if self.operation == "hold":
            lines.action_hold(self.reason)
        elif self.operation == "open":
            lines.action_open_gate(self.reason)
        elif self.operation == "resend":
            lines.action_resend()
        elif self.operation == "remind":
            lines.action_remind()

    def _complete(self, lines):
        """Complete milestones together; where one of them fails, one by one, and each that failed says why.

        :return: the error of each milestone that failed.
        :rtype: dict
        :raise UserError: if all of them fail.
        """
        failed = self._try_to_complete(lines)
        if failed and len(lines) > 1:
            failed = {}
            for line in lines:
                failed.update(self._try_to_complete(line))
        if len(failed) == len(lines) == 1:
            raise failed[lines]
        if len(failed) == len(lines):
            raise UserError("\n".join(dict.fromkeys(str(error.args[0]) for error in failed.values())))
        for line, error in failed.items():
            line.sudo()._tell_not_completed(error)
        return failed

    def _try_to_complete(self, lines):
        try:
            with self.env.cr.savepoint():
                lines.action_complete()
        except (UserError, RedirectWarning) as error:
            self.env.invalidate_all(flush=False)
            return {lines: error}
        return {}

    def _prepare_warning(self, failed, following):
        """Show what could not be completed, and why.

        :param dict failed: the error of each milestone.
        :param dict following: the action after it.
        :rtype: dict
        """
        reasons = "\n".join(
            f"{line.order_id.name} · {line.name}: {error.args[0]}" for line, error in failed.items()
        )
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "warning",
                "sticky": True,
                "title": self.env._("Not completed: %s", len(failed)),
                "message": reasons,
                "next": following,
            },
        }
