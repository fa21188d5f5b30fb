import base64
from itertools import pairwise
from pathlib import Path

from odoo import api, models

from ..tools import evidence_bundle, timestamp, verify
from ..tools.checkpoint import pem_from_raw
from ..tools.merkle import MerkleTree
from ..tools.retention import is_disclosed


class MilestoneBillingEvidenceBundle(models.AbstractModel):
    """Gather what an outsider needs to check the evidence of one milestone; `tools/evidence_bundle.py` packs it."""

    _name = "milestone.billing.evidence.bundle"
    _description = "Evidence Bundle"

    @api.model
    def _build(self, line, reader, own_ref=None, more=None):
        """Build the ZIP of a milestone for a reader. The same evidence gives the same bytes.

        :param str reader: one of `tools.retention.READERS`.
        :param str own_ref: evidence reference of the person this copy is for, if it is one.
        :param dict more: further files, name to bytes.
        :rtype: bytes
        """
        line_sudo = line.sudo()
        # Documents first: a certificate that is issued now is an entry of its own.
        documents = line_sudo._prepare_bundle_files(reader)
        entries = (
            self.env["milestone.billing.evidence"].sudo().search([("chain_id", "=", line.evidence_uuid)])
        )
        files = {
            "README.txt": evidence_bundle.README.encode(),
            "verify/verify.py": Path(verify.__file__).read_bytes(),
            **self._prepare_chain(entries, reader, own_ref),
            **self._prepare_snapshots(line_sudo),
            **self._prepare_log(entries),
            **line_sudo._prepare_bundle_mails(reader, own_ref),
            **documents,
            **(more or {}),
        }
        last = entries[-1:]
        return evidence_bundle.write_bundle(
            files,
            made_at=last.occurred_at or "",
            software=self.env["milestone.billing.evidence"]._get_software(),
            exported_by=self.env.user.partner_id.sudo().milestone_evidence_ref or None,
        )

    # === CHAIN ===

    @api.model
    def _prepare_chain(self, entries, reader, own_ref):
        """Write bodies, hashes, and the values this reader may see; the others are named as withheld."""
        Value = self.env["milestone.billing.evidence.value"]
        values = Value._get_disclosable(entries).grouped("entry_id")
        disclosed, withheld = [], []
        for entry in entries.filtered(lambda entry: entry.id in values):
            body = entry._get_body()
            is_own = bool(own_ref) and own_ref in (body["actor_ref"], body["data"].get("approver_ref"))
            for value in values[entry.id]:
                item = {"entry": entry.seq, "name": value.name}
                if is_disclosed(reader, value.name, body["actor_kind"], is_own):
                    disclosed.append({**item, "salt": value.salt, "value": value.value})
                else:
                    withheld.append(item)
        files = {
            "chain/entries.jsonl": "".join(f"{entry.body}\n" for entry in entries).encode(),
            "chain/hashes.txt": "".join(f"{entry.seq} {entry.entry_hash}\n" for entry in entries).encode(),
            "chain/values.jsonl": evidence_bundle.dump_lines(disclosed),
        }
        for name in ("webauthn", "wallet"):
            found = [item for item in disclosed if item["name"] == f"{name}_json"]
            if found:
                files[f"keys/{name}.json"] = verify.canonical({"v": 1, "assertions": found})
        if withheld:
            files["chain/withheld.jsonl"] = evidence_bundle.dump_lines(withheld)
        return files

    @api.model
    def _prepare_snapshots(self, line):
        """Write the exact bytes of the snapshots, and the texts in them as files of their own."""
        files = {}
        domain = [("chain_id", "=", line.evidence_uuid), ("body", "!=", False)]
        for snapshot in self.env["milestone.billing.evidence.snapshot"].sudo().search(domain):
            files[f"snapshot/{snapshot.sha256}.json"] = snapshot.body.encode()
            content = snapshot._parse()
            for name in ("consent", "notice"):
                text = (content.get(name) or {}).get("text")
                if text:
                    files[f"{name}/{evidence_bundle.sha256(text.encode())}.txt"] = text.encode()
        return files

    # === LOG ===

    @api.model
    def _prepare_log(self, entries):
        """Write checkpoints and the proofs that the entries stand in the company log."""
        log = self.env["milestone.billing.evidence.log"].sudo().search([("log_id", "=", entries[-1:].log_id)])
        leaves = self._get_leaves(log, entries)
        if not leaves:
            return {}
        checkpoints = self._get_checkpoints(log, max(leaves.mapped("index")))
        hashes = leaves._get_hashes(log.log_id, checkpoints[-1].size)
        trees = {item.size: MerkleTree(hashes[: item.size]) for item in checkpoints}
        steps = [
            {"from": old, "to": new, "path": [node.hex() for node in trees[new].consistency(old)]}
            for old, new in pairwise(trees)
        ]
        proofs = self._prepare_inclusion(leaves, trees[checkpoints[0].size])
        files = {
            "log/inclusion.json": evidence_bundle.dump_inclusion(log.log_id, proofs),
            "log/consistency.json": verify.canonical({"v": 1, "proofs": steps}),
        }
        files |= {f"log/checkpoints/{item.size:012}.note": item.note.encode() for item in checkpoints}
        if checkpoints[-1].public_key:
            files["log/public_key.pem"] = pem_from_raw(bytes.fromhex(checkpoints[-1].public_key)).encode()
        return files | self._prepare_anchors(checkpoints)

    @api.model
    def _get_leaves(self, log, entries):
        """Give the leaves of entries in a log; entries that are not there yet are put there first."""
        Leaf = self.env["milestone.billing.evidence.leaf"].sudo()
        entries = entries.filtered(lambda entry: entry.log_id == log.log_id)
        domain = [("entry_hash", "in", entries.mapped("entry_hash"))]
        leaves = Leaf.search(domain)
        if len(leaves) < len(entries):
            Leaf._sequence(log, entries.ids)
            leaves = Leaf.search(domain)
        return leaves

    @api.model
    def _get_checkpoints(self, log, index):
        """Give the first checkpoint that covers a place, made if there is none, and the next one of each kind of anchor."""
        Checkpoint = self.env["milestone.billing.evidence.checkpoint"].sudo()
        first = Checkpoint._get_covering(log.log_id, index) or Checkpoint._make(log)
        domain = [("log_id", "=", log.log_id), ("size", ">=", first.size)]
        sizes = (
            self.env["milestone.billing.evidence.anchor"].sudo()._read_group(domain, ["kind"], ["size:min"])
        )
        anchored = Checkpoint.search(
            [("log_id", "=", log.log_id), ("size", "in", [size for _kind, size in sizes])], order="size"
        )
        return first + (anchored - first)

    @api.model
    def _prepare_inclusion(self, leaves, tree):
        return [
            {
                "seq": leaf.seq,
                "entry_hash": leaf.entry_hash,
                "index": leaf.index,
                "tree_size": tree.size,
                "path": [node.hex() for node in tree.inclusion(leaf.index)],
            }
            for leaf in leaves.sorted("seq")
        ]

    @api.model
    def _prepare_anchors(self, checkpoints):
        """Write what was left outside: mails as they were sent, time stamps, transactions."""
        domain = [("digest", "in", checkpoints.mapped("digest"))]
        anchors = self.env["milestone.billing.evidence.anchor"].sudo().search(domain, order="size, id")
        files, onchain = {}, []
        for anchor in anchors:
            name = f"{anchor.size:012}_{anchor.id}"
            if anchor.kind == "email" and anchor.payload:
                files[f"anchors/mail/{name}.eml"] = anchor.payload.encode()
            elif anchor.kind == "rfc3161" and anchor.payload:
                files |= self._prepare_stamp(f"anchors/rfc3161/{name}", anchor)
            elif anchor.kind in ("onchain", "ots", "witness"):
                onchain.append({"kind": anchor.kind, "digest": anchor.digest, "reference": anchor.reference})
        if onchain:
            files["anchors/onchain.json"] = verify.canonical({"v": 1, "anchors": onchain})
        return files

    @api.model
    def _prepare_stamp(self, name, anchor):
        """Write a time stamp: the answer, the question that it answers, the certificates in it.

        The question is made again from the answer: equal arguments give equal bytes.
        """
        answer = base64.b64decode(anchor.payload)
        files = {f"{name}.tsr": answer}
        try:
            stamp = timestamp.read_stamp(answer)
        except timestamp.TimeStampError:
            # Another module recorded it, or somebody changed it; `verify.py` says what it is.
            return files
        if stamp.nonce is not None:
            files[f"{name}.tsq"] = timestamp.build_request(anchor.digest, stamp.nonce)
        for number, certificate in enumerate(stamp.certificates, 1):
            files[f"{name}_{number}.cer"] = certificate
        return files
