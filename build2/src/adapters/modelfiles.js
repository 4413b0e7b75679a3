"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.readJson = readJson;
exports.checkpointFiles = checkpointFiles;
exports.readWeights = readWeights;
exports.hashFiles = hashFiles;
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const errors_1 = require("../core/errors");
const safetensors_1 = require("../core/safetensors");
const files_1 = require("./files");
/** The files of a model on disk: which there are, what tensors they hold, what they hash to. */
function readJson(path) {
    try {
        return JSON.parse((0, node_fs_1.readFileSync)(path, "utf8"));
    }
    catch (error) {
        throw new errors_1.ModelError(`${path}: expected JSON, found: ${error.message}. Copy the file again from where the model came from.`);
    }
}
/** The files of a checkpoint folder that hold numbers. */
function checkpointFiles(folder) {
    if (!(0, node_fs_1.existsSync)(folder) || !(0, node_fs_1.statSync)(folder).isDirectory()) {
        throw new errors_1.ModelError(`${(0, node_path_1.resolve)(folder)}: expected the folder of a checkpoint (config.json, model.safetensors, tokenizer.json), found ${(0, node_fs_1.existsSync)(folder) ? "a file" : "nothing"}. ` +
            "Give the path of a downloaded model.");
    }
    const there = (0, node_fs_1.readdirSync)(folder);
    const found = `found ${there.length ? there.slice(0, 12).join(", ") + (there.length > 12 ? ", …" : "") : "an empty folder"}`;
    const config = (0, node_path_1.join)(folder, "config.json");
    if (!(0, node_fs_1.existsSync)(config))
        throw new errors_1.ModelError(`${folder}: expected config.json, ${found}. Copy it from where the model came from.`);
    const whole = (0, node_path_1.join)(folder, "model.safetensors");
    if ((0, node_fs_1.existsSync)(whole))
        return { config, weights: [whole] };
    const index = (0, node_path_1.join)(folder, "model.safetensors.index.json");
    if (!(0, node_fs_1.existsSync)(index)) {
        const remedy = there.some((name) => name.endsWith(".bin"))
            ? "Weights in PyTorch's own format are code: convert them with transformers, save_pretrained(folder, safe_serialization=True)."
            : there.some((name) => name.endsWith(".gguf")) ? "GGUF files are not read yet: use the safetensors of the same model."
                : "Download the weights into it.";
        throw new errors_1.ModelError(`${folder}: expected model.safetensors, or model.safetensors.index.json with its shards, ${found}. ${remedy}`);
    }
    const map = readJson(index).weight_map;
    if (typeof map !== "object" || map === null)
        throw new errors_1.ModelError(`${index}: expected weight_map, found none. Copy the file again.`);
    const shards = [...new Set(Object.values(map))].sort();
    for (const shard of shards) {
        if ((0, node_path_1.basename)(shard) !== shard)
            throw new errors_1.ModelError(`${index}: expected names of files beside it, found "${shard}". Copy the file again.`);
        if (!(0, node_fs_1.existsSync)((0, node_path_1.join)(folder, shard)))
            throw new errors_1.ModelError(`${folder}: expected the shard ${shard} that model.safetensors.index.json names, ${found}. Download it.`);
    }
    return { config, weights: shards.map((shard) => (0, node_path_1.join)(folder, shard)) };
}
/** All tensors of the files, as places on the disk: real paths, for ONNX Runtime takes no link that leads out of the folder it is told. */
function readWeights(paths) {
    const weights = new Map();
    for (const path of paths) {
        const location = (0, node_fs_1.realpathSync)(path);
        const source = (0, files_1.fileSource)(location);
        try {
            for (const [name, { dtype, shape, offset, bytes }] of (0, safetensors_1.readHeader)(source, path).tensors) {
                if (weights.has(name))
                    throw new errors_1.FormatError(`${path}: ${name}: expected each tensor once, found it in two shards. Copy the checkpoint again.`);
                weights.set(name, { dtype, shape, location, offset, bytes });
            }
        }
        finally {
            source.close();
        }
    }
    return weights;
}
const hashes = new Map();
/** SHA-256 over names, sizes and contents, in order; remembered as long as the files stay as they are. */
function hashFiles(paths) {
    const key = paths.map((path) => {
        const { size, mtimeMs } = (0, node_fs_1.statSync)(path);
        return `${(0, node_fs_1.realpathSync)(path)} ${size} ${mtimeMs}`;
    }).join("\n");
    const known = hashes.get(key);
    if (known)
        return known;
    const hash = (async () => {
        const sha = (0, node_crypto_1.createHash)("sha256");
        for (const path of paths) {
            sha.update(`${(0, node_path_1.basename)(path)}\0${(0, node_fs_1.statSync)(path).size}\0`);
            for await (const chunk of (0, node_fs_1.createReadStream)(path, { highWaterMark: 1 << 20 }))
                sha.update(chunk);
        }
        return sha.digest("hex");
    })();
    hash.catch(() => hashes.delete(key));
    hashes.set(key, hash);
    return hash;
}
//# sourceMappingURL=modelfiles.js.map