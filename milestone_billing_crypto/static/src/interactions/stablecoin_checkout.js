import { registry } from "@web/core/registry";
import { browser } from "@web/core/browser/browser";
import { Interaction } from "@web/public/interaction";

/** Seconds between two looks at the state; the page itself works without any of this. */
const POLL_SECONDS = 5;

/** So long the page asks not to send again, when a payment by the wallet was not seen yet. */
const SENT_MINUTES = 10;
/** What wallets answer (EIP-1193, EIP-3326), and which sentence of the page says it. */
const SAID_BY_CODE = { 4001: "refused", 4100: "locked", 4902: "unknown_network", "-32002": "busy" };

/** A problem that a sentence of the page tells. */
class Told extends Error {
    constructor(said) {
        super(said);
        this.said = said;
    }
}

/** Some wallets wrap the error of the network into one of their own. */
function getCode(error) {
    return error?.data?.originalError?.code ?? error?.code;
}

/**
 * Extras of the payer's page: copy buttons, local time, a look at the state, and the wallet of the browser
 * (EIP-1193). The wallet gets exactly what the page shows; nothing is signed here.
 */
export class StablecoinCheckout extends Interaction {
    static selector = ".o_stablecoin";
    dynamicContent = {
        ".o_stablecoin_copy": {
            "t-on-click": this.onCopy,
            "t-att-class": () => ({ "d-none": !browser.navigator.clipboard }),
        },
        ".o_stablecoin_wallet": {
            "t-on-click": this.onPayWithWallet,
            "t-att-class": () => ({ "d-none": !window.ethereum || this.isSent }),
            "t-att-disabled": () => this.isBusy,
        },
    };

    setup() {
        this.isBusy = false;
        this.isSent = false;
        this.storageKey = `stablecoin ${browser.location.pathname}`;
    }

    start() {
        this.showSent();
        this.updateContent(); // what was sent hides the button
        // In the time zone of the browser, in the language of the page.
        const locale = document.documentElement.lang || [];
        for (const time of this.el.querySelectorAll(".o_stablecoin_until")) {
            const moment = new Date(time.dateTime);
            time.textContent = moment.toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
        }
        this.poll();
    }

    poll() {
        this.waitForTimeout(async () => {
            const changed = await this.waitFor(this.hasChanged());
            if (changed) {
                browser.location.reload();
            } else {
                this.poll();
            }
        }, POLL_SECONDS * 1000);
    }

    async hasChanged() {
        if (document.hidden) {
            return false;
        }
        try {
            const response = await fetch(this.el.dataset.statusUrl, { cache: "no-store" });
            return response.ok && (await response.json()).version !== this.el.dataset.version;
        } catch {
            return false; // offline for a moment
        }
    }

    async onCopy(ev) {
        const button = ev.currentTarget;
        await this.waitFor(browser.navigator.clipboard.writeText(button.dataset.value));
        const icon = button.querySelector(".fa");
        icon.classList.replace("fa-clone", "fa-check");
        this.waitForTimeout(() => icon.classList.replace("fa-check", "fa-clone"), 2000);
    }

    // === THE WALLET OF THE BROWSER === //

    async onPayWithWallet(ev) {
        const { chain, target, call, value } = ev.currentTarget.dataset;
        this.isBusy = true;
        this.say("");
        try {
            const [from] = await this.ask("eth_requestAccounts");
            if (!from) {
                throw new Told("locked");
            }
            await this.chooseNetwork(chain);
            const params = [{ from, to: target, data: call, value }];
            const hash = await this.ask("eth_sendTransaction", params);
            browser.sessionStorage.setItem(this.storageKey, JSON.stringify({ hash, time: Date.now() }));
            this.showSent();
        } catch (error) {
            this.say(error.said || SAID_BY_CODE[getCode(error)] || "failed", "alert-warning");
        } finally {
            this.isBusy = false;
            this.updateContent();
        }
    }

    ask(method, params = []) {
        return this.waitFor(window.ethereum.request({ method, params }));
    }

    /** Some wallets cannot be switched from a page: then what counts is the network which they are on. */
    async chooseNetwork(chainId) {
        let problem;
        try {
            await this.ask("wallet_switchEthereumChain", [{ chainId }]);
        } catch (error) {
            problem = error;
        }
        if (BigInt(await this.ask("eth_chainId")) !== BigInt(chainId)) {
            throw SAID_BY_CODE[getCode(problem)] ? problem : new Told("other_network");
        }
    }

    /** Show that this browser sent a payment which the page does not know yet, also after a reload. */
    showSent() {
        const { hash, time } = JSON.parse(browser.sessionStorage.getItem(this.storageKey) || "{}");
        const isKnown = [...this.el.querySelectorAll("[data-hash]")].some((one) => one.dataset.hash === hash);
        this.isSent = Boolean(hash) && !isKnown && Date.now() - time < SENT_MINUTES * 60000;
        if (this.isSent) {
            this.say("sent", "alert-success", hash);
        }
    }

    say(said, style = "", hash = "") {
        const place = this.el.querySelector(".o_stablecoin_wallet_said");
        if (!place) {
            return;
        }
        const text = this.el.querySelector(`.o_stablecoin_wallet_texts [data-said="${said}"]`)?.textContent || "";
        place.className = `alert small py-2 mt-2 mb-0 text-break o_stablecoin_wallet_said ${said ? style : "d-none"}`;
        place.textContent = hash ? `${text} ${hash}` : text;
    }
}

registry
    .category("public.interactions")
    .add("milestone_billing_crypto.stablecoin_checkout", StablecoinCheckout);
