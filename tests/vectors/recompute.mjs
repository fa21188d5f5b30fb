// Recompute the evidence vectors without any code of the addon: node recompute.mjs FILE.json...
// Reads the vector files, ignores their expected values, and prints what it computes as JSON.
import { createHash, createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const sha256 = (...parts) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
};
const tagged = (tag, data) => sha256(tag, Buffer.of(0), data).toString("hex");

function sorted(value) {
    if (Array.isArray(value)) return value.map(sorted);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
        Object.keys(value)
            .sort()
            .map((key) => [key, sorted(value[key])])
    );
}
const canonical = (value) => Buffer.from(JSON.stringify(sorted(value)), "utf8");

// RFC 9162, section 2.1.1, by its recursive definition.
function treeHash(leaves) {
    if (leaves.length === 0) return sha256();
    if (leaves.length === 1) return sha256(Buffer.of(0), leaves[0]);
    let split = 1;
    while (split * 2 < leaves.length) split *= 2;
    return sha256(Buffer.of(1), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)));
}
const root = (hashes) => treeHash(hashes.map((hash) => Buffer.from(hash, "hex"))).toString("hex");

// RFC 9162, sections 2.1.3.1 and 2.1.4.1, by their recursive definitions.
const splitOf = (count) => {
    let split = 1;
    while (split * 2 < count) split *= 2;
    return split;
};
function inclusion(index, leaves) {
    if (leaves.length === 1) return [];
    const split = splitOf(leaves.length);
    const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
    return index < split
        ? [...inclusion(index, left), treeHash(right)]
        : [...inclusion(index - split, right), treeHash(left)];
}
function consistency(old, leaves, whole = true) {
    if (old === leaves.length) return whole ? [] : [treeHash(leaves)];
    const split = splitOf(leaves.length);
    const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
    return old <= split
        ? [...consistency(old, left, whole), treeHash(right)]
        : [...consistency(old - split, right, false), treeHash(left)];
}
const hexes = (nodes) => nodes.map((node) => node.toString("hex"));

const commit = ({ salt, name, value }) =>
    createHmac("sha256", Buffer.from(salt, "hex")).update(`mbev1:pii\0${name}\0${value}`, "utf8").digest("hex");

function checkpoint({ seed, origin, size }, rootHex) {
    const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(seed, "hex")]);
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const raw = createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
    const signed = `${origin}\n${size}\n${Buffer.from(rootHex, "hex").toString("base64")}\n`;
    const keyId = sha256(origin, "\n", Buffer.of(1), raw).subarray(0, 4);
    const line = Buffer.concat([keyId, sign(null, Buffer.from(signed), key)]).toString("base64");
    return {
        note: `${signed}\n\u2014 ${origin} ${line}\n`,
        digest: sha256(signed).toString("hex"),
        public_key: raw.toString("hex"),
    };
}

function published(vectors) {
    const bytes = canonical(vectors.snapshot);
    const snapshot = tagged("mbev1:snapshot", bytes);
    const bodies = vectors.entries.map((entry) => JSON.parse(entry.canonical));
    const hashes = bodies.map((body) => tagged("mbev1:entry", canonical(body)));
    const rootHex = root(hashes);
    return {
        snapshot_canonical_size: bytes.length,
        snapshot_sha256: snapshot,
        commitment: commit(vectors.commitment),
        canonical: bodies.map((body) => canonical(body).toString("utf8")),
        entry_hash: hashes,
        linked: bodies[1].prev === hashes[0],
        root: rootHex,
        link_proof: createHmac("sha256", vectors.link_proof.secret)
            .update(`mbev1:link\0${bodies[0].chain_id}\0${snapshot}`)
            .digest("hex"),
        ...checkpoint(vectors.checkpoint, rootHex),
    };
}

function golden(vectors) {
    const bodies = vectors.chain.map((entry) => JSON.parse(entry.body));
    const hashes = bodies.map((body) => tagged("mbev1:entry", canonical(body)));
    const values = vectors.values.map((value) => ({ ...value, commitment: commit(value) }));
    return {
        entry_hash: hashes,
        canonical: bodies.map((body) => canonical(body).toString("utf8")),
        linked: bodies.every((body, seq) => body.seq === seq && body.prev === (hashes[seq - 1] ?? "0".repeat(64))),
        committed: values.map(({ entry, name, commitment }) => bodies[entry].pii[name] === commitment),
        roots: hashes.map((_hash, index) => root(hashes.slice(0, index + 1))),
        snapshot_sha256: tagged("mbev1:snapshot", canonical(vectors.snapshot)),
        awkward: vectors.awkward.map((text) => canonical({ text }).toString("hex")),
    };
}

function hashKinds(vectors) {
    const leaves = vectors.leaves.map((hash) => Buffer.from(hash, "hex"));
    const { secret, chain_id, snapshot_sha256 } = vectors.link_proof;
    const parts = ({ request_id, snapshot_sha256: snapshot, server_nonce }) => [request_id, snapshot, server_nonce];
    const id = sha256(canonical(vectors.manifest.content)).subarray(0, 16);
    id[6] = (id[6] & 0x0f) | 0x50;
    id[8] = (id[8] & 0x3f) | 0x80;
    return {
        invoice: tagged("mbev1:invoice", canonical(vectors.invoice.content)),
        webauthn: tagged("mbev1:webauthn", Buffer.from(parts(vectors.webauthn).join("\0"))),
        reservation: tagged("mbev1:reservation", Buffer.from(vectors.reservation.nonce + vectors.reservation.text)),
        link_proof: createHmac("sha256", secret).update(`mbev1:link\0${chain_id}\0${snapshot_sha256}`).digest("hex"),
        file: sha256(Buffer.from(vectors.file.content, "hex")).toString("hex"),
        manifest: id.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
        inclusion: vectors.inclusion.map(({ index, size }) => hexes(inclusion(index, leaves.slice(0, size)))),
        consistency: vectors.consistency.map(({ from, to }) => hexes(consistency(from, leaves.slice(0, to)))),
        ...checkpoint(vectors.checkpoint, root(vectors.leaves)),
    };
}

const result = {};
for (const name of process.argv.slice(2)) {
    const vectors = JSON.parse(readFileSync(name, "utf8"));
    const compute = vectors.chain ? golden : vectors.leaves ? hashKinds : published;
    result[name.split("/").pop()] = compute(vectors);
}
console.log(JSON.stringify(result));
