"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const checkpoint_1 = require("../../src/core/checkpoint");
const errors_1 = require("../../src/core/errors");
const sae_1 = require("../../src/core/sae");
const safetensors_1 = require("../../src/core/safetensors");
const fixtures_1 = require("../fixtures");
const ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle/saes");
const read = (folder) => {
    const config = (0, checkpoint_1.parseConfig)((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "cfg.json"), "utf8"), "cfg.json");
    return (0, checkpoint_1.readWeights)((0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "sae.safetensors"))), config, "sae.safetensors").weights;
};
for (const name of ["sae", "sae_bf16", "sae_legacy_cfg"]) {
    (0, node_test_1.test)(`${name}: encode and decode agree with sparsify`, () => {
        const weights = read((0, node_path_1.join)(ORACLE, name));
        const bytes = (0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, name, "golden.safetensors")));
        const { tensors } = (0, safetensors_1.readHeader)(bytes, "golden.safetensors");
        const floats = (key) => (0, safetensors_1.readFloats)(bytes, tensors.get(key));
        const got = (0, sae_1.encode)(weights, floats("x"));
        strict_1.default.deepEqual(got.index, (0, safetensors_1.readInts)(bytes, tensors.get("acts_indices"))); // larger first
        const close = (actual, expected) => {
            const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
            const worst = actual.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0);
            strict_1.default.equal(actual.length, expected.length);
            strict_1.default.ok(worst <= 1e-5 * largest, `${worst} of ${largest}`);
        };
        close(got.value, floats("acts_values"));
        close((0, sae_1.decode)(weights, got), floats("recon"));
    });
}
const D = 3, F = 5;
const numbers = (n) => Float32Array.from({ length: n }, (_, i) => i / 7 - 1);
const good = [
    { name: "encoder.weight", shape: [F, D], data: numbers(F * D) },
    { name: "encoder.bias", shape: [F], data: numbers(F) },
    { name: "W_dec", shape: [F, D], data: numbers(F * D) },
    { name: "b_dec", shape: [D], data: numbers(D) },
];
const source = (tensors) => (0, safetensors_1.bytesSource)(Buffer.concat((0, safetensors_1.writeSafetensors)(tensors)));
const config = { d: D, latents: F, k: 2, warnings: [] };
(0, node_test_1.test)("weights go to bytes and back, bit by bit", () => {
    const { weights, warnings } = (0, checkpoint_1.readWeights)(source(good), config, "f");
    strict_1.default.deepEqual(warnings, []);
    const again = (0, checkpoint_1.readWeights)((0, safetensors_1.bytesSource)(Buffer.concat((0, checkpoint_1.weightBytes)(weights))), (0, checkpoint_1.parseConfig)((0, checkpoint_1.configText)(weights), "c"), "f").weights;
    strict_1.default.deepEqual(again, weights);
});
const replaced = (name, by) => good.flatMap((tensor) => (tensor.name === name ? (by ? [{ ...tensor, ...by }] : []) : [tensor]));
const badWeights = [
    ["transposed W_dec", replaced("W_dec", { shape: [D, F] }), /W_dec: expected \[5,3\].*found \[3,5\].*transposed/],
    ["another width", replaced("encoder.weight", { shape: [F, 2], data: numbers(10) }), /encoder\.weight: expected \[5,3\].*found \[5,2\]/],
    ["another number of latents", replaced("encoder.bias", { shape: [4], data: numbers(4) }), /encoder\.bias: expected \[5\].*found \[4\]/],
    ["no b_dec", replaced("b_dec", undefined), /b_dec: expected \[3\].*found tensors encoder\.weight/],
    ["NaN", replaced("encoder.weight", { data: numbers(F * D).fill(NaN, 4, 5) }), /encoder\.weight: expected finite numbers, found NaN at 4/],
    ["infinity", replaced("W_dec", { data: numbers(F * D).fill(-Infinity, 2, 3) }), /W_dec: expected finite numbers, found -Infinity at 2/],
    ["whole numbers", replaced("b_dec", { data: Int32Array.of(1, 2, 3) }), /b_dec: expected F32, F16, BF16 or F64, found I32/],
    ["SAELens' names", [{ name: "W_enc", shape: [D, F], data: numbers(F * D) }], /SAELens layout/],
];
for (const [name, tensors, message] of badWeights) {
    (0, node_test_1.test)(`weights refused: ${name}`, () => {
        strict_1.default.throws(() => (0, checkpoint_1.readWeights)(source(tensors), config, "f.safetensors"), (error) => error instanceof errors_1.CheckpointError && message.test(error.message) && error.message.startsWith("f.safetensors: "));
    });
}
(0, node_test_1.test)("an unknown tensor is ignored with a warning; a file cut short is refused", () => {
    const { warnings } = (0, checkpoint_1.readWeights)(source([...good, { name: "extra", shape: [1], data: numbers(1) }]), config, "f");
    strict_1.default.match(warnings[0], /ignored tensors.*extra/);
    const bytes = Buffer.concat((0, safetensors_1.writeSafetensors)(good));
    strict_1.default.throws(() => (0, checkpoint_1.readWeights)((0, safetensors_1.bytesSource)(bytes.subarray(0, bytes.length - 4)), config, "f"), errors_1.FormatError);
});
(0, node_test_1.test)("cfg.json: num_latents wins, 0 means d_in × expansion_factor, the nested and the early forms are read", () => {
    const parse = (cfg) => (0, checkpoint_1.parseConfig)(JSON.stringify(cfg), "cfg.json");
    strict_1.default.deepEqual(parse({ d_in: 4, k: 2, num_latents: 10, expansion_factor: 64 }), { d: 4, latents: 10, k: 2, warnings: [] });
    strict_1.default.equal(parse({ d_in: 4, k: 2, num_latents: 0, expansion_factor: 3 }).latents, 12);
    strict_1.default.equal(parse({ d_in: 4, k: 2, expansion_factor: 3, signed: false }).latents, 12);
    strict_1.default.equal(parse({ sae: { k: 2, num_latents: 8, d_in: 4 }, batch_size: 32 }).latents, 8);
    strict_1.default.equal(parse({ sae: { k: 2, num_latents: 8 }, d_in: 4 }).d, 4);
    strict_1.default.match(parse({ d_in: 4, k: 2, num_latents: 8, new_option: 1 }).warnings[0], /cfg\.json: ignored keys.*new_option/);
});
const badConfigs = [
    ["not JSON", '{"d_in": 4,', /cfg\.json: expected JSON/],
    ["a list", "[1]", /expected a JSON object/],
    ["k 0", '{"d_in":4,"num_latents":8,"k":0}', /k: expected a whole number of at least 1, found 0/],
    ["k fraction", '{"d_in":4,"num_latents":8,"k":2.5}', /k: .*found 2\.5/],
    ["k too large", '{"d_in":4,"num_latents":8,"k":9}', /k: expected 1 to 8 \(num_latents\), found 9/],
    ["no d_in", '{"num_latents":8,"k":2}', /d_in: .*found nothing/],
    ["neither number of latents", '{"d_in":4,"k":2}', /expansion_factor: .*found nothing/],
    ["groupmax", '{"d_in":4,"num_latents":8,"k":2,"activation":"groupmax"}', /activation: .*"groupmax"/],
    ["no such activation", '{"d_in":4,"num_latents":8,"k":2,"activation":"swish"}', /activation: expected "topk", found "swish"/],
    ["transcoder", '{"d_in":4,"num_latents":8,"k":2,"transcode":true}', /transcode: .*another hook/],
    ["skip connection", '{"d_in":4,"num_latents":8,"k":2,"skip_connection":true}', /skip_connection: .*W_skip/],
];
for (const [name, text, message] of badConfigs) {
    (0, node_test_1.test)(`cfg.json refused: ${name}`, () => {
        strict_1.default.throws(() => (0, checkpoint_1.parseConfig)(text, "cfg.json"), (error) => error instanceof errors_1.CheckpointError && message.test(error.message));
    });
}
for (const hostile of [(0, node_path_1.join)(ORACLE, "hostile"), (0, node_path_1.join)(fixtures_1.FIXTURES, "saes/hostile")]) {
    if (!(0, fixtures_1.found)((0, node_path_1.join)(hostile, "expected.json")))
        continue;
    const { files } = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(hostile, "expected.json"), "utf8"));
    for (const [file, { want, why }] of Object.entries(files)) {
        const attempt = file.startsWith("sparsify_") ? () => void read((0, node_path_1.join)(hostile, file))
            : file.endsWith(".safetensors") ? () => void (0, safetensors_1.readHeader)((0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(hostile, file))), file) : undefined;
        if (!attempt)
            continue; // pickles and zips: formats that are not read
        const where = hostile.startsWith(ORACLE) ? "" : " (fixtures)";
        (0, node_test_1.test)(`hostile file${where}: ${file}: ${want}: ${why}`, () => {
            const typed = (error) => error instanceof errors_1.CheckpointError || error instanceof errors_1.FormatError;
            if (want === "accept")
                attempt();
            else if (want === "reject")
                strict_1.default.throws(attempt, typed);
            else {
                try {
                    attempt(); // either is right
                }
                catch (error) {
                    strict_1.default.ok(typed(error), `${error.stack}`);
                }
            }
        });
    }
}
//# sourceMappingURL=checkpoint.test.js.map