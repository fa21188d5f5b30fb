from datetime import timedelta
from decimal import Decimal

from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..const import DEFAULT_PAYMENT_METHOD_CODES, PROVIDER_CODE


def _account(string, help_text):
    """Return a field for an account of the provider's company."""
    return fields.Many2one("account.account", string=string, check_company=True, copy=False, help=help_text)


class PaymentProvider(models.Model):
    _inherit = "payment.provider"

    code = fields.Selection(
        selection_add=[(PROVIDER_CODE, "Stablecoins")], ondelete={PROVIDER_CODE: "set default"}
    )
    crypto_wallet_id = fields.Many2one(
        "milestone.billing.crypto.wallet",
        string="Wallet",
        domain="[('company_id', '=', company_id), ('state', '=', 'confirmed')]",
        required_if_provider=PROVIDER_CODE,
        check_company=True,
        copy=False,
    )
    crypto_token_ids = fields.Many2many(
        "milestone.billing.crypto.token", string="Accepted Tokens", copy=False
    )
    crypto_window_minutes = fields.Integer(
        string="Quote Window (Minutes)", default=30, help="How long a price in tokens stays locked."
    )
    crypto_watch_days = fields.Integer(
        string="Close Watch (Days)",
        default=7,
        help="Days after a quote with reading in every cycle, then once a day.",
    )
    crypto_finalized_from = fields.Monetary(
        string="Finalized Block From",
        currency_field="main_currency_id",
        default=1000,
        help="From this amount on a payment counts when its block is finalized; below, after some confirmations.",
    )
    crypto_tolerance_per_mille = fields.Integer(string="Tolerance (‰)", default=1)
    crypto_tolerance_max = fields.Monetary(
        string="Tolerance at Most", currency_field="main_currency_id", default=1
    )
    crypto_tolerance_account_id = _account(
        "Tolerance Account", "Where shortages within the tolerance are written off."
    )
    crypto_difference_account_id = _account(
        "Rate Difference Account",
        "Difference between the locked rate and the day's rate. Default: the company's exchange accounts.",
    )
    crypto_gas_account_id = _account(
        "Network Fees Account", "Expense: what the network charges for refunds and sweeps."
    )
    crypto_gas_source_account_id = _account(
        "Network Fees Paid From", "Where the coin stands in the books with which the fees are paid."
    )
    crypto_late_policy = fields.Selection(
        [("accept", "Accept at the rate of receipt"), ("hold", "Hold for a person")],
        string="Late Payments",
        default="accept",
        required=True,
    )
    crypto_rate_age_days = fields.Integer(
        string="Oldest Rate (Days)",
        default=7,
        help="Currencies whose rate is older cannot be paid in stablecoins.",
    )

    _crypto_limits = models.Constraint(
        "CHECK (crypto_window_minutes BETWEEN 1 AND 10080 AND crypto_watch_days BETWEEN 0 AND 3650 "
        "AND crypto_tolerance_per_mille BETWEEN 0 AND 100)",
        "The quote window, the days of close watch or the tolerance is out of range.",
    )

    # === CONSTRAINTS === #

    @api.constrains(
        "state",
        "crypto_wallet_id",
        "crypto_token_ids",
        "crypto_tolerance_account_id",
        "crypto_tolerance_per_mille",
    )
    def _check_crypto_setup(self):
        for provider in self.filtered(lambda p: p.code == PROVIDER_CODE and p.state != "disabled"):
            problem = provider._find_crypto_problem()
            if problem:
                raise ValidationError(problem)

    def _find_crypto_problem(self):
        """Return the first thing that is missing before payments can be taken, as a sentence, or False."""
        is_test = self.state == "test"
        wallet, tokens = self.crypto_wallet_id, self.crypto_token_ids
        mixed = tokens.filtered(lambda token: token.is_test != is_test)[:1]
        unverified = tokens.filtered(lambda token: not token.verified_on)[:1]
        checks = [
            (
                wallet.state != "confirmed",
                self.env._("Confirm the wallet's first addresses before you take payments."),
            ),
            (
                wallet.is_test != is_test,
                self.env._(
                    "Use a wallet for test networks in test mode, and one for main networks otherwise."
                ),
            ),
            (not tokens, self.env._("Choose at least one token.")),
            (mixed, self.env._("%(token)s does not belong to this mode.", token=mixed.display_name)),
            (
                unverified,
                self.env._("Check %(token)s on its network's node first.", token=unverified.display_name),
            ),
            (
                self.crypto_tolerance_per_mille and not self.crypto_tolerance_account_id,
                self.env._("Choose the account for shortages within the tolerance, or set it to zero."),
            ),
        ]
        return next((message for is_wrong, message in checks if is_wrong), False)

    def write(self, vals):
        """Override of `payment` to make journals and payment method lines of accepted tokens at once.

        Core makes the provider's line when its journal is first read; workers that book at the same moment
        would make one each.
        """
        result = super().write(vals)
        if {"state", "crypto_token_ids"} & set(vals):
            for provider in self.filtered(lambda p: p.code == PROVIDER_CODE and p.state != "disabled"):
                for token in provider.crypto_token_ids:
                    token._get_wallet_journal(provider.company_id)
                if provider.journal_id:
                    provider._ensure_payment_method_line()
        return result

    # === BUSINESS === #

    def _get_default_payment_method_codes(self):
        """Override of `payment` to return the default payment method codes."""
        self.ensure_one()
        if self.code != PROVIDER_CODE:
            return super()._get_default_payment_method_codes()
        return DEFAULT_PAYMENT_METHOD_CODES

    @api.model
    def _get_compatible_providers(self, company_id, *args, currency_id=None, is_validation=False, **kwargs):
        """Override of `payment` to leave the provider out where it cannot quote a price now."""
        providers = super()._get_compatible_providers(
            company_id, *args, currency_id=currency_id, is_validation=is_validation, **kwargs
        )
        currency = self.env["res.currency"].browse(currency_id).exists()
        return providers.filtered(
            lambda p: p.code != PROVIDER_CODE or (not is_validation and p._can_quote(currency))
        )

    def _can_quote(self, currency):
        """Tell whether at least one accepted token has a price in the currency now."""
        self.ensure_one()
        today = fields.Date.context_today(self)
        return any(self._get_token_rate(token, currency, today) for token in self.crypto_token_ids)

    def _get_token_rate(self, token, currency, date, price=None):
        """Return the price of one token: ``{"rate": Decimal, "source": str}``, or None without a fresh rate.

        A token counts as its peg one to one, a network's own coin as its price feed says; that is converted
        at Odoo's rate of the day.

        :param Decimal price: what the feed said when a receipt came; default is what it says now.
        """
        self.ensure_one()
        peg, price = token.peg_currency_id, token._price_now() if price is None else price
        if price is None or not (
            peg == currency or all(self._is_rate_fresh(one, date) for one in peg + currency)
        ):
            return None
        sources = self._get_rate_sources(token, currency, date, price)
        if peg != currency:
            price *= Decimal(str(peg._get_conversion_rate(peg, currency, self.company_id, date)))
        return {"rate": price, "source": ", ".join(sources)}

    def _get_rate_sources(self, token, currency, date, price):
        """Return where the price comes from, as short texts."""
        peg, sources = token.peg_currency_id, []
        if token.is_native:
            sources.append(
                self.env._(
                    "1 %(coin)s = %(price)s %(peg)s by the network's price feed",
                    coin=token.symbol,
                    price=f"{price:f}",
                    peg=peg.name,
                )
            )
        elif peg == currency:
            sources.append(self.env._("1 %(token)s = 1 %(peg)s", token=token.symbol, peg=peg.name))
        if peg != currency:
            sources.append(
                self.env._(
                    "Rate %(peg)s/%(currency)s of %(date)s", peg=peg.name, currency=currency.name, date=date
                )
            )
        return sources

    def _is_rate_fresh(self, currency, date):
        if currency == self.company_id.currency_id:
            return True
        rate = (
            self.env["res.currency.rate"]
            .sudo()
            .search(
                [
                    ("currency_id", "=", currency.id),
                    ("company_id", "in", (False, self.company_id.root_id.id)),
                    ("name", "<=", date),
                ],
                order="name desc",
                limit=1,
            )
        )
        return bool(rate) and rate.name >= date - timedelta(days=self.crypto_rate_age_days)
