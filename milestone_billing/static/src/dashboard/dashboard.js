import { Component, onWillStart, useEffect, useRef, useState } from "@odoo/owl";
import { loadBundle } from "@web/core/assets";
import { getColor } from "@web/core/colors/colors";
import { cookie } from "@web/core/browser/cookie";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { user } from "@web/core/user";
import { useService } from "@web/core/utils/hooks";
import { Layout } from "@web/search/layout";
import { formatFloat, formatMonetary } from "@web/views/fields/formatters";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";

/** One chart of the dashboard; the numbers stand in a table beside it for those who do not see it. */
export class DashboardChart extends Component {
    static template = "milestone_billing.DashboardChart";
    static props = {
        title: String,
        type: String,
        labels: Array,
        series: Array,
        format: Function,
        stacked: { type: Boolean, optional: true },
        horizontal: { type: Boolean, optional: true },
        onClick: { type: Function, optional: true },
    };

    setup() {
        this.canvas = useRef("canvas");
        useEffect(() => {
            const chart = new Chart(this.canvas.el, this.getConfig());
            return () => chart.destroy();
        });
    }

    getConfig() {
        const { props } = this;
        const scheme = cookie.get("color_scheme");
        return {
            type: props.type,
            data: {
                labels: props.labels,
                datasets: props.series.map((serie, index) => ({
                    label: serie.label,
                    data: serie.values,
                    backgroundColor: getColor(serie.color ?? index, scheme, 10),
                    borderColor: getColor(serie.color ?? index, scheme, 10),
                    stack: serie.stack,
                })),
            },
            options: {
                animation: false,
                maintainAspectRatio: false,
                indexAxis: props.horizontal ? "y" : "x",
                onClick: (ev, items) => items.length && props.onClick?.(items[0].index),
                plugins: {
                    legend: { display: props.series.length > 1, position: "bottom" },
                    tooltip: {
                        callbacks: {
                            label: (item) => `${item.dataset.label}: ${props.format(item.raw)}`,
                        },
                    },
                },
                scales: {
                    x: { stacked: props.stacked },
                    y: { stacked: props.stacked, beginAtZero: true },
                },
            },
        };
    }
}

/** The money of all milestones on one page; every figure leads to its records. */
export class MilestoneDashboard extends Component {
    static template = "milestone_billing.Dashboard";
    static components = { Layout, DashboardChart };
    static props = { ...standardActionServiceProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.display = { controlPanel: {} };
        this.state = useState({ data: null });
        onWillStart(async () => {
            const [data] = await Promise.all([
                this.orm.call("milestone.billing.dashboard", "get_figures", [], {
                    context: user.context,
                }),
                loadBundle("web.chartjs_lib"),
            ]);
            this.state.data = data;
        });
        this.formatMoney = (value) =>
            formatMonetary(value, { currencyId: this.state.data.currency_id, humanReadable: false });
        this.formatNumber = (value) => formatFloat(value, { digits: [16, 1], trailingZeros: false });
    }

    formatFigure(figure) {
        if (figure.value === null || figure.value === false) {
            return "–";
        }
        return figure.kind === "days"
            ? _t("%s days", this.formatNumber(figure.value))
            : this.formatMoney(figure.value);
    }

    get monthSeries() {
        const months = this.state.data.months;
        return [
            { label: _t("Billed"), values: months.map((row) => row.billed), stack: "billed" },
            { label: _t("Paid"), values: months.map((row) => row.paid), stack: "cash" },
            { label: _t("Expected"), values: months.map((row) => row.expected), stack: "cash" },
        ];
    }

    openFigure(figure) {
        return this.openRecords(figure.label, figure.model, figure.domain);
    }

    openMonth(index) {
        const { month } = this.state.data.months[index];
        const start = luxon.DateTime.fromFormat(month, "yyyy-MM");
        return this.openRecords(month, "milestone.billing.ledger", [
            ["date", ">=", start.toISODate()],
            ["date", "<", start.plus({ months: 1 }).toISODate()],
            ["fact", "in", ["billed", "paid", "open", "planned", "draft"]],
        ]);
    }

    openProject(index) {
        const project = this.state.data.projects[index];
        return this.openRecords(project.name, "milestone.billing.line", [
            ["project_id", "=", project.id],
        ]);
    }

    openRecords(name, model, domain) {
        const types = model === "milestone.billing.ledger" ? ["list", "pivot", "graph"] : ["list", "form"];
        return this.action.doAction({
            type: "ir.actions.act_window",
            name,
            res_model: model,
            domain,
            views: types.map((type) => [false, type]),
        });
    }

    openAction(xmlId) {
        return this.action.doAction(xmlId);
    }
}

registry.category("actions").add("milestone_billing.dashboard", MilestoneDashboard);
