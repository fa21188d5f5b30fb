import { registry } from "@web/core/registry";
import { browser } from "@web/core/browser/browser";
import { Interaction } from "@web/public/interaction";

/** Seconds between two looks at the state; the page itself works without any of this. */
const POLL_SECONDS = 5;

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
            "t-att-class": () => ({ "d-none": !window.ethereum }),
        },
    };

    start() {
        for (const time of this.el.querySelectorAll(".o_stablecoin_until")) {
            const moment = new Date(time.dateTime);
            time.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
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

    async onPayWithWallet(ev) {
        const { chain, target, call, value } = ev.currentTarget.dataset;
        const problem = this.el.querySelector(".o_stablecoin_wallet_problem");
        problem.classList.add("d-none");
        try {
            const [from] = await window.ethereum.request({ method: "eth_requestAccounts" });
            await window.ethereum.request({
                method: "wallet_switchEthereumChain",
                params: [{ chainId: chain }],
            });
            await window.ethereum.request({
                method: "eth_sendTransaction",
                params: [{ from, to: target, data: call, value }],
            });
        } catch (error) {
            problem.textContent = error.message || String(error);
            problem.classList.remove("d-none");
        }
    }
}

registry
    .category("public.interactions")
    .add("milestone_billing_crypto.stablecoin_checkout", StablecoinCheckout);
