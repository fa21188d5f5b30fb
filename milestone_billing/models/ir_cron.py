from odoo import api, models


class IrCron(models.Model):
    _inherit = "ir.cron"

    @api.model
    def _give_way(self, remaining):
        """Undo the chunk at hand after another transaction came in between, and let what remains run again at once.

        A job that fails waits for its next day; one that has something left does not.

        :param int remaining: what is left to do.
        """
        self.env.cr.rollback()
        self._commit_progress(remaining=remaining)
