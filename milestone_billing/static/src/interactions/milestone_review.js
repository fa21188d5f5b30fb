import { registry } from "@web/core/registry";
import { Interaction } from "@web/public/interaction";
import { loadPDFJSAssets } from "@web/core/utils/pdfjs";
import * as passkeyLib from "@auth_passkey/../lib/simplewebauthn";

/** What this browser claims of itself: a fingerprint is made of it where the company records devices. */
function readDevice() {
    // The longer side first: turning a phone does not make it another one.
    const sides = [window.screen.width, window.screen.height].map(Math.round).sort((a, b) => b - a);
    return {
        tz: Intl.DateTimeFormat().resolvedOptions().timeZone || "",
        screen: sides.join("x"),
    };
}

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
            ...readDevice(),
        });
        navigator.sendBeacon(this.el.dataset.url, data);
    }
}

/** The first page of a PDF file as a picture, once it comes into sight; without it, its name and a symbol stay. */
export class MilestonePdf extends Interaction {
    static selector = ".o_mb_document[data-pdf]";

    start() {
        const observer = new IntersectionObserver((entries) => {
            if (entries.some((entry) => entry.isIntersecting)) {
                observer.disconnect();
                this.draw();
            }
        });
        observer.observe(this.el);
        this.registerCleanup(() => observer.disconnect());
    }

    async draw() {
        let pdf;
        try {
            await this.waitFor(loadPDFJSAssets());
            globalThis.pdfjsLib.GlobalWorkerOptions.workerSrc = "/web/static/lib/pdfjs/build/pdf.worker.js";
            pdf = await this.waitFor(globalThis.pdfjsLib.getDocument(this.el.dataset.pdf).promise);
            const canvas = await this.waitFor(this.drawPage(pdf));
            this.insert(canvas, this.el, "afterbegin");
            this.el.classList.add("o_mb_drawn");
        } catch (error) {
            // A file that cannot be drawn is opened by its link all the same.
            console.info("no preview of", this.el.dataset.pdf, error?.message);
        } finally {
            pdf?.destroy();
        }
    }

    async drawPage(pdf) {
        const page = await pdf.getPage(1);
        const width = this.el.clientWidth * Math.min(window.devicePixelRatio || 1, 2);
        const viewport = page.getViewport({ scale: width / page.getViewport({ scale: 1 }).width });
        const canvas = document.createElement("canvas");
        canvas.width = viewport.width;
        canvas.height = viewport.height;
        canvas.setAttribute("aria-hidden", "true");
        await page.render({ canvasContext: canvas.getContext("2d"), viewport }).promise;
        return canvas;
    }
}

/** One click, one request: the server counts once anyway, but a waiting button says so. */
export class MilestoneForm extends Interaction {
    static selector = ".o_mb_form";
    dynamicContent = {
        _root: { "t-on-submit": this.onSubmit },
        _window: { "t-on-online": this.showConnection },
    };

    start() {
        const device = readDevice();
        for (const input of this.el.querySelectorAll(".o_mb_claim")) {
            input.value = device[input.name];
        }
    }

    /** Say that nothing can be sent now, or take it back; without a connection the browser's own page would hide the form. */
    showConnection() {
        const notice = this.el.querySelector(".o_mb_offline");
        notice?.classList.toggle("d-none", navigator.onLine);
        return notice;
    }

    async onSubmit(ev) {
        if (!navigator.onLine) {
            ev.preventDefault();
            this.showConnection()?.scrollIntoView({ block: "center" });
            return;
        }
        const answer = this.el.querySelector("input[name='webauthn']");
        const isSigned = answer?.value || this.el.querySelector(".o_mb_signature")?.value;
        if (answer && !isSigned && ev.submitter?.classList.contains("o_mb_once")) {
            ev.preventDefault();
            await this.sign(answer);
        } else {
            this.waitForTimeout(() => this.setBusy(true), 0);
        }
    }

    /** Let the device sign, and send the form; a device that does not sign is told about, and nothing is sent. */
    async sign(answer) {
        const problem = this.el.querySelector(".o_mb_unsigned");
        problem.classList.add("d-none");
        this.setBusy(true);
        try {
            const options = JSON.parse(this.el.dataset.passkey);
            answer.value = JSON.stringify(await this.waitFor(passkeyLib.startAuthentication(options)));
        } catch (error) {
            console.info("the passkey did not sign:", error?.name, error?.message);
            this.setBusy(false);
            problem.classList.remove("d-none");
            problem.focus();
            return;
        }
        this.el.submit();
    }

    setBusy(isBusy) {
        for (const button of this.el.querySelectorAll(".o_mb_once")) {
            button.disabled = isBusy;
            button.setAttribute("aria-busy", String(isBusy));
        }
    }
}

/** Why an answer was not recorded is read first. */
export class MilestoneRefusal extends Interaction {
    static selector = "#refusal";

    start() {
        this.el.focus();
    }
}

registry.category("public.interactions").add("milestone_billing.review", MilestoneReview);
registry.category("public.interactions").add("milestone_billing.refusal", MilestoneRefusal);
registry.category("public.interactions").add("milestone_billing.pdf", MilestonePdf);
registry.category("public.interactions").add("milestone_billing.form", MilestoneForm);
