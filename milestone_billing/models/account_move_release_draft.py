"""Drafts of releases that ask for retainage which a credit note took back meanwhile: withdrawn, and said so."""

from odoo import models
from odoo.tools import formatLang

from ..tools.money import to_float


class MilestoneBillingSchedule(models.Model):
    _inherit = "milestone.billing.schedule"

    def _withdraw_releases(self, cause):
        """Withdraw drafts of releases, the newest first, until none asks for what is not held any more.

        :param cause: the document after which less is held.
        """
        for schedule in self.sudo():
            for draft in schedule._get_release_drafts().sorted("id", reverse=True):
                if schedule._is_released_beyond():
                    draft._withdraw_release(cause)

    def _get_release_drafts(self):
        return self.line_ids.invoice_ids.filtered(
            lambda move: move.state == "draft" and move.milestone_document == "release"
        )

    def _is_released_beyond(self):
        """Tell whether releases, drafts included, come to more than is held: of one document, or in all.

        :rtype: bool
        """
        self.ensure_one()
        drafts = sum(self._get_release_drafts().mapped("amount_retained"))
        held = to_float(self._get_held_units(with_drafts=False), self.currency_id.rounding)
        pot = self._get_retained_pot(self._get_held_documents())
        return self.currency_id.compare_amounts(held + drafts, 0.0) < 0 or any(
            units["net"] < 0 for units in pot.values()
        )


class AccountMove(models.Model):
    _inherit = "account.move"

    def _withdraw_after_credits(self):
        """Withdraw drafts of releases that count on what these posted documents took or gave back."""
        giving = self.filtered(
            lambda move: move.amount_retained < 0 and move.milestone_document in ("stage", "credit")
        )
        for move in giving:
            move.milestone_line_id.sudo().schedule_id._withdraw_releases(move)

    def _withdraw_release(self, cause):
        """Withdraw this draft of a release; its milestone says why, and whoever made it is asked to look.

        :param cause: the document after which less is held.
        """
        self.ensure_one()
        line, owner = self.milestone_line_id, self._get_release_owner()
        line = line.with_context(lang=owner.lang or self.env.lang)
        amount = formatLang(line.env, self.amount_total, currency_obj=self.currency_id)
        if self.posted_before:
            self.button_cancel()
        else:
            self.unlink()
        note = line._get_withdrawn_note(amount, cause)
        line.message_post(body=note, subtype_xmlid="mail.mt_note")
        summary = line.env._("Release of retainage withdrawn")
        line.activity_schedule("mail.mail_activity_data_todo", summary=summary, note=note, user_id=owner.id)

    def _get_release_owner(self):
        """Give whom the team asks about this draft: who made it, else the salesperson.

        :rtype: res.users
        """
        users = self.create_uid | self.milestone_line_id.order_id.user_id
        users = users.filtered(lambda user: user.active and not user.share and not user._is_superuser())
        return users[:1] or self.env.ref("base.user_admin")


class MilestoneBillingLine(models.Model):
    _inherit = "milestone.billing.line"

    def _get_withdrawn_note(self, amount, cause):
        """Say that the draft of this release was withdrawn, and what can be done.

        :param str amount: of the draft.
        :param cause: the document after which less is held.
        :rtype: str
        """
        schedule, document = self.schedule_id, cause.display_name
        held = to_float(schedule._get_held_units(), self.currency_id.rounding)
        if self.currency_id.is_zero(held):
            return self.env._(
                "The draft of this release over %(amount)s was withdrawn: after %(document)s, no retainage is left to "
                "release. Cancel the milestone, or leave it until retainage is held again.",
                amount=amount,
                document=document,
            )
        return self.env._(
            "The draft of this release over %(amount)s was withdrawn: after %(document)s, %(held)s of retainage is left to "
            "release. Release that, or cancel the milestone.",
            amount=amount,
            document=document,
            held=schedule._format(held),
        )
