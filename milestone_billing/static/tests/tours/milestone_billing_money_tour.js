import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");

// The client stops the project: finance settles each position and the order is cancelled.
tours.add("milestone_billing_end_contract", {
    steps: () => [
        {
            content: "Start from the order",
            trigger: "button[name='action_end_milestones']:visible",
            run: "click",
        },
        { trigger: ".modal div[name='reason'] textarea", run: "edit The client stops the project" },
        {
            content: "One invoice goes back",
            trigger: ".modal div[name='stage_ids'] .o_data_row:contains('Stage 2') td[name='stage_choice']",
            run: "click",
        },
        {
            trigger: ".modal div[name='stage_ids'] .o_selected_row td[name='stage_choice'] .o_select_menu input",
            run: "click",
        },
        { trigger: ".o_select_menu_item:contains('Credit it')", run: "click" },
        {
            content: "The deposit is kept",
            trigger: ".modal div[name='deposit_ids'] .o_data_row td[name='deposit_choice']",
            run: "click",
        },
        {
            trigger: ".modal div[name='deposit_ids'] .o_selected_row td[name='deposit_choice'] .o_select_menu input",
            run: "click",
        },
        { trigger: ".o_select_menu_item:contains('Keep as a penalty')", run: "click" },
        {
            content: "What is not taxed here goes back with its tax",
            trigger: ".modal div[name='forfeit_tax'] .o_radio_item:contains('not taxed') input",
            run: "click",
        },
        {
            content: "The retainage stays for later",
            trigger: ".modal div[name='retainage_choice'] .o_radio_item:contains('Leave it held') input",
            run: "click",
        },
        { trigger: ".modal button[name='action_end']:visible", run: "click" },
        { trigger: ".modal:contains('Go on?') button:contains('Ok')", run: "click" },
        {
            content: "The order is cancelled",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Cancelled')",
            timeout: 60000, // all of it is one request
        },
        {
            content: "What became of each part stands in the chatter",
            trigger: ".o-mail-Message:contains('The contract has ended'):contains('Keep as a penalty')",
        },
    ],
});

// A part of what the client holds back is asked for.
tours.add("milestone_billing_release_retainage", {
    steps: () => [
        {
            trigger: ".o_statusbar_buttons button:contains('Release Retainage'):visible",
            run: "click",
        },
        {
            content: "What is held is shown",
            trigger: ".modal div[name='amount_retained']:contains('500.00')",
        },
        { trigger: ".modal div[name='scope'] .o_radio_item:contains('An amount') input", run: "click" },
        { trigger: ".modal div[name='amount'] input", run: "edit 300" },
        { trigger: ".modal button[name='action_release']:visible", run: "click" },
        {
            content: "A document of its own asks for it",
            trigger: ".o_form_view .alert:contains('Retainage release'), .o_form_view:contains('Retainage release')",
            timeout: 60000, // all of it is one request
        },
        { trigger: ".o_form_view [name='amount_residual']:contains('300.00'), .o_form_view:contains('300.00')" },
    ],
});

// A contract comes part-billed from another system.
tours.add("milestone_billing_cut_over", {
    steps: () => [
        { trigger: "button[name='action_open_cut_over']:visible", run: "click" },
        {
            content: "The first milestone was billed as a whole",
            trigger: ".modal .o_data_row:contains('Stage 1') button[name='action_whole']",
            run: "click",
        },
        {
            trigger: ".modal .o_data_row:contains('Stage 1') td[name='amount_untaxed']:contains('2,500.00')",
        },
        { trigger: ".modal .o_data_row:contains('Stage 1') td[name='reference']", run: "click" },
        { trigger: ".modal .o_selected_row td[name='reference'] input", run: "edit OLD-118" },
        { trigger: ".modal .o_selected_row td[name='date']", run: "click" },
        { trigger: ".modal .o_selected_row td[name='date'] input", run: "edit 11/03/2025" },
        { trigger: ".modal .modal-title", run: "click" },
        { trigger: ".modal button[name='action_apply']:visible", run: "click" },
        { content: "It counts", trigger: "a[name='openings']", run: "click", timeout: 60000 },
        { trigger: "div[name='opening_ids'] .o_data_row:contains('OLD-118'):contains('2,500.00')" },
        { trigger: "div[name='amount_before']:contains('2,500.00')" },
    ],
});

// Statement and ledger are compared, and what differs is named down to the entry.
tours.add("milestone_billing_tie_out", {
    steps: () => [
        {
            content: "The nine lines stand on the schedule",
            trigger: "div[name='statement_html']:contains('Total completed to date')",
        },
        { trigger: "button[name='action_tie_out']:visible", run: "click" },
        {
            content: "The document that differs",
            trigger: ".modal .o_data_row:contains('differs from the milestone'):contains('2,499.99')",
            timeout: 60000, // all of it is one request
        },
        {
            trigger:
                ".modal .o_data_row:contains('differs from the milestone') button[name='action_view_items']",
            run: "click",
        },
        { content: "Its journal items", trigger: ".o_list_view .o_data_row:contains('2,500.00')" },
    ],
});

// A period ends: what is over-billed becomes a liability.
tours.add("milestone_billing_period_end", {
    steps: () => [
        { trigger: ".o_data_row .o_list_record_selector input", run: "click" },
        { trigger: ".o_cp_action_menus .dropdown-toggle:contains('Actions')", run: "click" },
        { trigger: ".o-dropdown--menu .o_menu_item:contains('Period End')", run: "click" },
        { trigger: ".modal .o_data_row td[name='earned_percent']", run: "click" },
        { trigger: ".modal .o_selected_row td[name='earned_percent'] input", run: "edit 50" },
        { trigger: ".modal .modal-title", run: "click" },
        { trigger: ".modal .o_data_row td[name='position']:contains('Over-billed: liability')" },
        { trigger: ".modal button[name='action_draft_entries']:visible", run: "click" },
        {
            content: "An entry and its reversal",
            trigger: ".o_list_view:has(.o_data_row:nth-child(2)):contains('Draft')",
            timeout: 60000, // all of it is one request
        },
    ],
});
