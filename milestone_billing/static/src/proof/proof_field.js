import { Component, useRef, useState } from "@odoo/owl";
import { useDropzone } from "@web/core/dropzone/dropzone_hook";
import { FileInput } from "@web/core/file_input/file_input";
import { FileModel } from "@web/core/file_viewer/file_model";
import { useFileViewer } from "@web/core/file_viewer/file_viewer_hook";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useFileUploader } from "@web/core/utils/files";
import { useService } from "@web/core/utils/hooks";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

const UPLOAD_ROUTE = "/web/binary/upload_attachment";

/**
 * Proof of work: files by drag and drop or by choosing them.
 *
 * Files are added by the record's own method and not by saving the form, because a project user may add proof to a
 * milestone but may not edit it.
 */
export class ProofField extends Component {
    static template = "milestone_billing.ProofField";
    static components = { FileInput };
    static props = {
        ...standardFieldProps,
        editableField: { type: String, optional: true },
    };

    setup() {
        this.orm = useService("orm");
        this.notification = useService("notification");
        this.upload = useFileUploader();
        this.viewer = useFileViewer();
        this.root = useRef("root");
        this.state = useState({ busy: false });
        useDropzone(
            this.root,
            (ev) => this.onDrop(ev),
            "rounded",
            () => this.isEditable && !this.state.busy
        );
    }

    get isEditable() {
        const { record, editableField } = this.props;
        return editableField ? Boolean(record.data[editableField]) : !this.props.readonly;
    }

    get files() {
        return this.props.record.data[this.props.name].records.map((item) =>
            Object.assign(new FileModel(), {
                id: item.resId,
                name: item.data.name,
                mimetype: item.data.mimetype,
                checksum: item.data.checksum,
                type: "binary",
            })
        );
    }

    onOpen(file) {
        const files = this.files;
        const same = files.find((other) => other.id === file.id);
        if (same.isViewable) {
            this.viewer.open(same, files);
        } else {
            window.open(same.downloadUrl);
        }
    }

    async onDrop(ev) {
        const files = [...ev.dataTransfer.files];
        if (files.length) {
            await this.run(async () => {
                const uploaded = await this.upload(UPLOAD_ROUTE, {
                    csrf_token: odoo.csrf_token,
                    ufile: files,
                    model: this.props.record.resModel,
                    id: 0,
                });
                await this.add(uploaded || []);
            });
        }
    }

    async onUpload(uploaded) {
        await this.run(() => this.add(uploaded));
    }

    async add(uploaded) {
        for (const file of uploaded.filter((item) => item.error)) {
            this.notification.add(file.error, { title: _t("This file was not added"), type: "danger" });
        }
        const ids = uploaded.filter((item) => !item.error).map((item) => item.id);
        if (ids.length) {
            await this.call("add_milestone_proof", ids);
        }
    }

    async onRemove(file) {
        await this.run(() => this.call("remove_milestone_proof", [file.id]));
    }

    async call(method, ids) {
        const { record } = this.props;
        await this.orm.call(record.resModel, method, [[record.resId], ids]);
        await record.load();
    }

    /**
     * Save what is being typed, then work, with the buttons off meanwhile.
     */
    async run(work) {
        this.state.busy = true;
        try {
            if (await this.props.record.save()) {
                await work();
            }
        } finally {
            this.state.busy = false;
        }
    }
}

export const proofField = {
    component: ProofField,
    displayName: _t("Proof of work"),
    supportedTypes: ["many2many"],
    isEmpty: () => false,
    relatedFields: [
        { name: "name", type: "char" },
        { name: "mimetype", type: "char" },
        { name: "checksum", type: "char" },
    ],
    extractProps: ({ options }) => ({ editableField: options.editable_field }),
};

registry.category("fields").add("milestone_proof", proofField);
