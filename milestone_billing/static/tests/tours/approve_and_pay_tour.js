import { registry } from "@web/core/registry";

// A client on a phone, from the review page to the receipt of the payment.
registry.category("web_tour.tours").add("milestone_billing_approve_and_pay", {
    steps: () => [
        {
            content: "The amount and the proof are there",
            trigger: ".o_mb_amount:contains('2,500.00')",
        },
        { trigger: ".o_mb_gallery img" },
        {
            content: "Approve is in reach of the thumb",
            trigger: ".o_mb_bar a[href$='/approve']",
            run() {
                const bottom = this.anchor.getBoundingClientRect().bottom;
                if (bottom > window.innerHeight || document.documentElement.scrollWidth > window.innerWidth) {
                    throw new Error("The page does not fit the phone.");
                }
            },
        },
        { trigger: ".o_mb_bar a[href$='/approve']", run: "click", expectUnloadPage: true },
        { trigger: "#typed_name", run: "edit Zoe Client" },
        { trigger: "#reservation", run: "edit Fix the footer" },
        { trigger: "#accept", run: "check" },
        {
            content: "Without a connection nothing is sent and nothing is lost",
            trigger: ".o_mb_form button.o_mb_once",
            run({ click }) {
                Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
                return click();
            },
        },
        {
            trigger: ".o_mb_form .o_mb_offline:not(.d-none)",
            run() {
                delete navigator.onLine;
                window.dispatchEvent(new Event("online"));
            },
        },
        { trigger: ".o_mb_form:has(.o_mb_offline.d-none) #reservation:value(Fix the footer)" },
        { trigger: ".o_mb_form button.o_mb_once", run: "click", expectUnloadPage: true },
        { trigger: ".o_mb_status:contains('Approved with reservations by Zoe Client')" },
        { trigger: ".o_mb_bar button:contains('Pay')", run: "click", expectUnloadPage: true },
        { trigger: "#pay_with.show input[name='o_payment_radio']", run: "click" },
        { trigger: "#pay_with #customer_input", run: "edit 4242 4242 4242 4242" },
        {
            trigger: "#pay_with button[name='o_payment_submit_button']:not(:disabled)",
            run: "click",
            expectUnloadPage: true,
        },
        { trigger: ".o_mb_status:contains('Paid')", timeout: 30000 },
    ],
});
