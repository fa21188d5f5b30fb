import { registry } from "@web/core/registry";

registry.category("web_tour.tours").add("milestone_billing_dashboard", {
    steps: () => [
        { trigger: ".o_mb_dashboard canvas" },
        {
            trigger: ".o_mb_figure[data-figure=contract]:contains(10,000.00)",
        },
        {
            trigger: ".o_mb_figure[data-figure=billed]:contains(2,500.00)",
            run: "click",
        },
        { trigger: ".o_list_view .o_data_row:contains(2,500.00)" },
    ],
});
