import { registry } from "@web/core/registry";
import { Interaction } from "@web/public/interaction";
import * as passkeyLib from "@auth_passkey/../lib/simplewebauthn";

/** What makes the review page nicer with JavaScript; it works without. */
export class MilestoneReview extends Interaction {
    static selector = ".o_mb_shown";

    setup() {
        this.visibleSince = document.hidden ? 0 : Date.now();
        this.visibleMs = 0;
        this.reachedEnd = false;
        this.isReported = false;
    }

    start() {
        this.addListener(document, "visibilitychange", this.onVisibilityChange);
        this.addListener(window, "pagehide", this.report);
        const observer = new IntersectionObserver((entries) => {
            this.reachedEnd ||= entries.some((entry) => entry.isIntersecting);
        });
        observer.observe(this.el.lastElementChild || this.el);
        this.registerCleanup(() => observer.disconnect());
    }

    onVisibilityChange() {
        if (document.hidden) {
            this.visibleMs += this.visibleSince ? Date.now() - this.visibleSince : 0;
            this.visibleSince = 0;
            this.report();
        } else {
            this.visibleSince = Date.now();
        }
    }

    report() {
        if (this.isReported) {
            return;
        }
        this.isReported = true;
        const visibleMs = this.visibleMs + (this.visibleSince ? Date.now() - this.visibleSince : 0);
        const data = new URLSearchParams({
            csrf_token: this.el.dataset.csrf,
            presentation: this.el.dataset.presentation,
            visible_s: String(Math.round(visibleMs / 1000)),
            reached_end: this.reachedEnd ? "1" : "",
            tz: Intl.DateTimeFormat().resolvedOptions().timeZone || "",
        });
        navigator.sendBeacon(this.el.dataset.url, data);
    }
}

/** One click, one request: the server counts once anyway, but a waiting button says so. */
export class MilestoneForm extends Interaction {
    static selector = ".o_mb_form";
    dynamicContent = { _root: { "t-on-submit": this.onSubmit } };

    start() {
        for (const input of this.el.querySelectorAll(".o_mb_tz")) {
            input.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
        }
    }

    async onSubmit(ev) {
        const answer = this.el.querySelector("input[name='webauthn']");
        if (answer && !answer.value && ev.submitter?.classList.contains("o_mb_once")) {
            ev.preventDefault();
            const options = JSON.parse(this.el.dataset.passkey);
            const signed = await this.waitFor(passkeyLib.startAuthentication(options).catch(() => null));
            if (signed) {
                answer.value = JSON.stringify(signed);
                this.el.submit();
            }
            return;
        }
        const button = this.el.querySelector(".o_mb_once");
        this.waitForTimeout(() => {
            button.disabled = true;
            button.setAttribute("aria-busy", "true");
        }, 0);
    }
}

registry.category("public.interactions").add("milestone_billing.review", MilestoneReview);
registry.category("public.interactions").add("milestone_billing.form", MilestoneForm);
