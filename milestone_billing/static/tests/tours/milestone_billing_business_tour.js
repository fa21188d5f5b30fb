import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");

// The seller proposes a change of a confirmed order.
tours.add("milestone_billing_propose_change", {
    steps: () => [
        {
            content: "Start from the order",
            trigger: "button[name='action_view_milestone_changes']:contains('Propose')",
            run: "click",
        },
        { trigger: "div[name='name'] input", run: "edit Second language" },
        { trigger: "div[name='reason'] textarea", run: "edit The shop speaks French too" },
        {
            content: "Add what changes",
            trigger: "div[name='line_ids'] .o_field_x2many_list_row_add a",
            run: "click",
        },
        { trigger: "div[name='line_ids'] div[name='product_id'] input", run: "edit Second language" },
        {
            trigger: ".o-autocomplete--dropdown-item a:contains('Second language')",
            run: "click",
        },
        { trigger: "div[name='line_ids'] .o_selected_row td[name='amount_after']:contains('1,200.00')" },
        { content: "Send it", trigger: "button[name='action_propose']:visible", run: "click" },
        {
            content: "It is with the client",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('With the client')",
        },
        { trigger: ".o_form_view a[name='approvers']", run: "click" },
        { trigger: "div[name='link_ids'] .o_data_row:contains('Zoe')" },
    ],
});

// The client decides on a phone.
tours.add("milestone_billing_approve_change", {
    steps: () => [
        { content: "Before and after", trigger: ".o_mb_review:contains('11,200.00')" },
        {
            trigger: ".o_mb_review:contains('The shop speaks French too')",
            run() {
                if (document.documentElement.scrollWidth > window.innerWidth) {
                    throw new Error("The page does not fit the phone.");
                }
            },
        },
        { trigger: "#accept", run: "check" },
        {
            trigger: "#approve button.o_mb_once",
            run: "click",
            expectUnloadPage: true,
        },
        { trigger: ".o_mb_status:contains('Order and milestones are changed')" },
    ],
});

// Finance charges a customer who is enrolled.
tours.add("milestone_billing_charge_now", {
    steps: () => [
        {
            content: "The agreement",
            trigger: ".o_data_row:contains('Client Ltd') td[name='name']",
            run: "click",
        },
        { trigger: "button[name='action_open_charge']:visible", run: "click" },
        {
            content: "The default amount is there",
            trigger: ".modal div[name='amount'] input",
            run: "edit 750",
        },
        { trigger: ".modal div[name='name'] input", run: "edit Phase 2" },
        {
            trigger: ".modal div[name='description'] textarea",
            run: "edit Homepage designs, delivered March 15",
        },
        { trigger: ".modal button[name='action_charge']:visible", run: "click" },
        {
            content: "It is a milestone like any other",
            trigger: ".o_form_view div[name='name']:contains('Phase 2'), .o_form_view div[name='name'] input",
        },
        { trigger: ".o_statusbar_status .o_arrow_button_current:contains('With the client')" },
    ],
});

// Finance bills a retainer, tells the client, and ends it.
tours.add("milestone_billing_retainer", {
    steps: () => [
        { trigger: ".o_data_row:contains('Care') td[name='name']", run: "click" },
        { trigger: "button[name='action_bill_next']:visible", run: "click" },
        { content: "A period is open", trigger: "div[name='period_ids'] .o_data_row:contains('Open')" },
        { trigger: "button[name='action_send_statement']:visible", run: "click" },
        {
            content: "The mail stands in the chatter",
            trigger: ".o-mail-Message:contains('hours')",
        },
        { trigger: "button[name='action_close']:visible", run: "click" },
        { trigger: ".modal button:contains('Ok')", run: "click" },
        { trigger: ".o_statusbar_status .o_arrow_button_current:contains('Closed')" },
    ],
});

// The work queue shows what clients will receive before anything is sent.
tours.add("milestone_billing_queue_preview", {
    steps: () => [
        { content: "Show it as a list", trigger: ".o_switch_view.o_list", run: "click" },
        {
            trigger: ".o_data_row:contains('Stage 1') .o_list_record_selector input",
            run: "click",
        },
        { trigger: ".o_control_panel button:contains('Complete'):visible", run: "click" },
        {
            content: "Who is asked",
            trigger: ".modal .o_field_html:contains('zoe@client.example')",
        },
        { trigger: ".modal button[name='action_preview_mail']:visible", run: "click" },
        {
            content: "The mail as the client gets it",
            trigger: ".modal .o_field_html:contains('please review “Stage 1”')",
        },
        { trigger: ".modal .o_field_html:contains('Review milestone')" },
        { trigger: ".modal footer button[name='action_apply']:visible", run: "click" },
        { trigger: "body:not(:has(.modal)) .o_list_view" },
    ],
});
