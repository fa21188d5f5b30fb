// node compile.js: compiles Contracts.sol to contracts.json (npm package solc@0.8.30 must be importable).
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const source = fs.readFileSync(path.join(__dirname, "Contracts.sol"), "utf8");
const input = {
    language: "Solidity",
    sources: { "Contracts.sol": { content: source } },
    settings: {
        optimizer: { enabled: true, runs: 200 },
        evmVersion: "paris",
        metadata: { bytecodeHash: "none" },
        outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.methodIdentifiers"] } },
    },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length) {
    console.error(errors.map((error) => error.formattedMessage).join("\n"));
    process.exit(1);
}
const result = {};
for (const [name, contract] of Object.entries(output.contracts["Contracts.sol"])) {
    result[name] = { bytecode: "0x" + contract.evm.bytecode.object, methods: contract.evm.methodIdentifiers };
}
fs.writeFileSync(path.join(__dirname, "contracts.json"), JSON.stringify(result, null, 1) + "\n");
