import { registry } from "@web/core/registry";
import { Interaction } from "@web/public/interaction";

/** What wallets answer (EIP-1193), and which sentence of the page says it. */
const SAID_BY_CODE = { 4001: "refused", 4100: "locked", "-32002": "busy" };

/**
 * Lets the wallet of the browser (EIP-1193) sign an approval. Without a wallet, or without scripts, the same
 * signature can be made elsewhere and pasted.
 */
export class WalletApproval extends Interaction {
    static selector = ".o_mb_wallet";
    dynamicSelectors = {
        ...this.dynamicSelectors,
        _reservation: () => this.el.closest("form").querySelector("[name=reservation]"),
    };
    dynamicContent = {
        ".o_mb_wallet_sign": {
            "t-on-click": this.onSign,
            "t-att-class": () => ({ "d-none": !window.ethereum }),
        },
        // What is signed says whether points to fix were named, so a signature does not outlive a change there.
        _reservation: { "t-on-input": this.onChangeReservation },
    };

    setup() {
        this.input = this.el.querySelector("[name=wallet_signature]");
        this.reservation = this.el.closest("form").querySelector("[name=reservation]");
    }

    onChangeReservation() {
        this.input.value = "";
        this.say("");
    }

    /** Show one of the sentences which the page brings in its own language; wallets tell theirs by themselves. */
    say(said) {
        const text = this.el.querySelector(`.o_mb_wallet_texts [data-said="${said}"]`)?.textContent || "";
        this.el.querySelector(".o_mb_wallet_status").textContent = text;
    }

    async onSign() {
        const typedData = JSON.parse(this.el.dataset.typedData);
        if (this.reservation.value.trim()) {
            typedData.message.decision = "approve_with_reservations";
        }
        try {
            const accounts = await this.waitFor(window.ethereum.request({ method: "eth_requestAccounts" }));
            const wanted = this.el.dataset.address.toLowerCase();
            const account = accounts.find((address) => address.toLowerCase() === wanted);
            if (!account) {
                this.say(accounts.length ? "other" : "locked");
                return;
            }
            await this.waitFor(this.chooseNetwork(typedData.domain.chainId));
            this.input.value = await this.waitFor(
                window.ethereum.request({
                    method: "eth_signTypedData_v4",
                    params: [account, JSON.stringify(typedData)],
                })
            );
            this.say("signed");
        } catch (error) {
            this.say(SAID_BY_CODE[error?.code] || "failed");
        }
    }

    /** Some wallets sign for the network only that they are on. */
    async chooseNetwork(chainId) {
        const wanted = `0x${chainId.toString(16)}`;
        if ((await window.ethereum.request({ method: "eth_chainId" })) !== wanted) {
            await window.ethereum.request({
                method: "wallet_switchEthereumChain",
                params: [{ chainId: wanted }],
            });
        }
    }
}

registry.category("public.interactions").add("milestone_billing_crypto.wallet_approval", WalletApproval);
