import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("milestone_billing_apply_template", {
    steps: () => [
        { content: "Open the tab", trigger: "a[name='milestones']", run: "click" },
        {
            content: "Look for the template",
            trigger: "div[name='milestone_template_id'] input",
            run: "edit Tour template",
        },
        {
            content: "Pick it",
            trigger: ".o-autocomplete--dropdown-item a:contains('Tour template')",
            run: "click",
        },
        {
            content: "Apply it",
            trigger: "button[name='action_apply_milestone_template']:visible",
            run: "click",
        },
        {
            content: "The milestones are there",
            trigger: "div[name='milestone_line_ids'] .o_data_row:contains('Launch')",
        },
        {
            content: "They fit the order",
            trigger: "div[name='milestone_amount_planned']:contains('10,000.00')",
        },
        { content: "Confirm the order", trigger: "button[name='action_confirm']:visible", run: "click" },
        {
            content: "The order is confirmed",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Sales Order')",
        },
        { content: "Open the tab again", trigger: "a[name='milestones']", run: "click" },
        {
            content: "The deposit is billed",
            trigger: "div[name='milestone_line_ids'] .o_data_row:contains('Deposit at start'):contains('To pay')",
        },
        {
            content: "The next one says what it waits for",
            trigger: "div[name='milestone_line_ids'] .o_data_row:contains('Launch'):contains('Planned')",
        },
    ],
});

registry.category("web_tour.tours").add("milestone_billing_complete_from_project", {
    steps: () => [
        {
            content: "Open the billing milestones of the project",
            trigger:
                ".o_kanban_record:contains('Tour project') a[name='action_view_milestone_billing_lines']",
            run: "click",
        },
        {
            content: "Open the stage that is done",
            trigger: ".o_list_view .o_data_row:contains('Stage 1') td[name='name']",
            run: "click",
        },
        {
            content: "Complete it",
            trigger: ".o_form_view button[name='action_complete']",
            run: "click",
        },
        {
            content: "It is approved, as no approval was asked",
            trigger: ".o_statusbar_status .o_arrow_button_current:contains('Approved')",
        },
        {
            content: "Its proof stays as it is",
            trigger: ".o_mb_proof:not(:has(.o_mb_proof_add))",
        },
    ],
});

registry.category("web_tour.tours").add("milestone_billing_work_queue", {
    steps: () => [
        {
            content: "The queue shows the states as columns",
            trigger: ".o_kanban_group:contains('With the client')",
        },
        {
            content: "A card says that it is ready",
            trigger: ".o_kanban_record:contains('Stage 1'):contains('Ready to bill')",
        },
        { content: "Show it as a list", trigger: ".o_switch_view.o_list", run: "click" },
        {
            content: "The list says why not",
            trigger: ".o_data_row:contains('Stage 2'):contains('Waiting for the work')",
        },
        { content: "Open the filters", trigger: ".o_searchview_dropdown_toggler", run: "click" },
        {
            content: "Only what is ready",
            trigger: ".o_filter_menu .o_menu_item:contains('Ready to Bill')",
            run: "click",
        },
        { trigger: ".o_facet_value:contains('Ready to Bill')" },
        { trigger: ".o_list_table:not(:contains('Stage 2'))" },
        {
            content: "Choose the first one",
            trigger: ".o_data_row:contains('Stage 1') .o_list_record_selector input",
            run: "click",
        },
        {
            content: "Complete what is chosen",
            trigger: ".o_control_panel button:contains('Complete'):visible",
            run: "click",
        },
        {
            content: "See what happens before it happens",
            trigger: ".modal .o_field_html:contains('posted at once')",
        },
        { content: "Go on", trigger: ".modal footer button[name='action_apply']:visible", run: "click" },
        {
            content: "It is not in the list of ready ones any more",
            trigger: "body:not(:has(.modal)) .o_list_view:not(:has(.o_data_row:contains('Stage 1')))",
        },
    ],
});
