from odoo.tests import new_test_user, tagged

from .common import MILLION
from .common_checkout import CheckoutCommon

#: What readers find on each page, and what of the English page must not be there.
WORDS = {
    "de_DE": {
        "choose": ("Token und Netzwerk wählen", "Der Betrag wird mit Ihrer Auswahl festgelegt", "1.500,00"),
        "refused": ("Token und Netzwerk wählen",),
        "waiting": (
            "Wartet auf Ihre Zahlung",
            "Senden Sie genau",
            "Fingerabdruck der Adresse",
            "Festgelegt bis",
        ),
        "texts": ("Sie haben in Ihrer Wallet abgelehnt", "Kopieren: An diese Adresse"),
        "expired": ("Der festgehaltene Preis ist abgelaufen", "Neuen Preis abrufen"),
        "seen": ("Ein Teil Ihrer Zahlung wurde gesehen", "Was eingegangen ist"),
        "partial": ("sind noch zu bezahlen", "Senden Sie den Rest"),
        "refund": ("Erstattung von", "Meine Erstattung an diese Adresse senden"),
        "address": ("Dies ist keine Adresse eines EVM-Netzwerks",),
        "paid": ("Bezahlt. Vielen Dank!", "Zurück zur Rechnung"),
        "settled": ("Diese Rechnung ist erledigt",),
    },
    "fr_FR": {
        "choose": ("Choisissez un jeton et un réseau", "Le montant est bloqué", "1\u00a0500,00"),
        "refused": ("Choisissez un jeton et un réseau",),
        "waiting": (
            "En attente de votre paiement",
            "Envoyez exactement",
            "Empreinte de l’adresse",
            "Bloqué jusqu’au",
        ),
        "texts": ("Vous avez refusé dans votre portefeuille", "Copier\u00a0: À cette adresse"),
        "expired": ("Le prix garanti a expiré", "Obtenir un nouveau prix"),
        "seen": ("Une partie de votre paiement a été détectée", "Ce qui est arrivé"),
        "partial": ("restent à payer", "Envoyez le reste"),
        "refund": ("Remboursement de", "Envoyer mon remboursement à cette adresse"),
        "address": ("Ceci n’est pas une adresse d’un réseau EVM",),
        "paid": ("Payé. Merci", "Retour à la facture"),
        "settled": ("Cette facture est réglée",),
    },
}
ENGLISH = (
    "Choose a token",
    "Send exactly",
    "Waiting for your payment",
    "Locked until",
    "Paid. Thank you",
    "What has",
)
#: In a browser that is set to English: the time and what a wallet answers are in the language of the page.
SCRIPTS = """(async () => {
    window.ethereum = { request: async () => { throw { code: 4001 }; } };
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    const said = () => document.querySelector(".o_stablecoin_wallet_said").textContent;
    for (let turn = 0; turn < 50 && !said(); turn++) {
        document.querySelector(".o_stablecoin_wallet").click();
        await wait(200);
    }
    const until = document.querySelector(".o_stablecoin_until").textContent;
    const good = document.documentElement.lang === "de-DE" && said().startsWith("Sie haben in Ihrer Wallet abgelehnt")
        && /^[0-9]{2}[.][0-9]{2}[.][0-9]{4}, [0-9]{2}:[0-9]{2}$/.test(until);
    console.log(good ? "test successful" : `test failed: ${until} | ${said()}`);
})()"""


@tagged("post_install", "-at_install")
class TestCheckoutLang(CheckoutCommon):
    """Each page of the checkout speaks the reader's language, whatever the browser is set to."""

    def setUp(self):
        super().setUp()
        for lang in WORDS:
            self.env["res.lang"]._activate_lang(lang)
        self.env["ir.module.module"]._load_module_terms(["milestone_billing_crypto"], list(WORDS))
        self.opener.headers["Accept-Language"] = "en-US,en;q=0.9"

    def check(self, page, lang, *names):
        """The page is in the language, all of it, also where it says so to the browser."""
        text = page.text
        for word in (word for name in names for word in WORDS[lang][name]):
            self.assertIn(word, text)
        for word in ENGLISH:
            self.assertNotIn(word, text)
        self.assertIn(f'lang="{lang.replace("_", "-")}"', text)

    def create_german(self):
        """Add a portal user of the customer's whose own language is German."""
        user = new_test_user(self.env, "crypto_german", groups="base.group_portal")
        user.partner_id.parent_id = self.partner_a
        user.lang = "de_DE"

    def go_through(self, lang):
        """Pay an invoice in parts and look at each page."""
        payment, page = self.enter()
        url = payment._checkout_url()
        self.check(page, lang, "choose")
        self.check(self.open(url + "/choose", {"token_id": "0"}), lang, "refused")
        self.check(self.choose(payment), lang, "waiting", "texts")
        self.check(self.open(url + "?change=1"), lang, "choose")
        expires_on = payment.quote_id.expires_on
        payment.quote_id.expires_on = "2020-01-01"
        self.check(self.open(url), lang, "expired")
        payment.quote_id.expires_on = expires_on
        self.pay(payment, 600 * MILLION)
        self.watch()
        self.check(self.open(url), lang, "seen")
        self.watch(3)
        self.check(self.open(url), lang, "partial")
        self.pay_and_settle(payment, 900 * MILLION)
        self.check(self.open(url), lang, "paid")
        refund = self.env["milestone.billing.crypto.refund"].create(
            {"payment_id": payment.id, "token_id": self.usdc.id, "amount": 10}
        )
        self.check(self.open(url), lang, "refund")
        data = {"refund_id": str(refund.id), "address": "0x123"}
        self.check(self.open(url + "/refund", data), lang, "address")

    def test_visitor_with_a_link_reads_the_language_of_the_customer(self):
        for lang in WORDS:
            with self.subTest(lang):
                self.partner_a.lang = lang
                self.invoice = self.create_invoice(1500)
                self.authenticate(None, None)
                self.go_through(lang)

    def test_portal_user_reads_their_own_language(self):
        """Also when this browser was on an English page of ours before, and the customer is French."""
        self.partner_a.lang = "fr_FR"
        self.create_german()
        self.open("/web/login")
        self.authenticate("crypto_german", "crypto_german")
        self.opener.cookies["frontend_lang"] = "en_US"
        self.go_through("de_DE")

    def test_language_that_is_not_in_use_any_more_is_no_error(self):
        self.partner_a.lang = "de_DE"
        payment = self.begin_in("de_DE")
        self.env.cr.execute("UPDATE res_lang SET active = false WHERE code = 'de_DE'")
        self.env.registry.clear_cache("stable")
        self.env["res.lang"].invalidate_model()
        self.assertIn("Choose a token and network", self.open(payment._checkout_url()).text)

    def begin_in(self, lang):
        """Go to the payer's page in a language; returns the payment."""
        payment, page = self.enter()
        self.check(page, lang, "choose")
        return payment

    def test_the_invoice_and_its_pdf_lead_there_in_the_language(self):
        self.partner_a.lang = "de_DE"
        self.create_german()
        self.authenticate("crypto_german", "crypto_german")
        self.assertIn("Mit Stablecoins bezahlen", self.open(self.invoice.get_portal_url()).text)
        payment = self.begin_in("de_DE")
        self.choose(payment)
        self.assertIn("Stablecoin-Zahlung fortsetzen", self.open(self.invoice.get_portal_url()).text)
        Report = self.env["ir.actions.report"]
        html = Report._render_qweb_html("account.report_invoice", self.invoice.ids)[0].decode()
        self.assertIn("Fingerabdruck:", html)
        self.assertIn("mit der Zahlungsseite vergleichen", html)

    def test_settled_in_another_way_is_said_in_the_language(self):
        self.partner_a.lang = "de_DE"
        payment = self.begin_in("de_DE")
        self.choose(payment)
        self.env["account.payment.register"].with_context(
            active_model="account.move", active_ids=self.invoice.ids
        ).create({})._create_payments()
        self.check(self.open(payment._checkout_url()), "de_DE", "settled")

    def test_scripts_speak_the_language_of_the_page(self):
        self.partner_a.lang = "de_DE"
        payment = self.begin_in("de_DE")
        self.choose(payment)
        self.browser_js(payment._checkout_url(), SCRIPTS, ready="!!document.querySelector('.o_stablecoin')")
