"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.saeFiles = saeFiles;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const checkpoint_1 = require("../core/checkpoint");
const onnx_1 = require("../core/onnx");
const safetensors_1 = require("../core/safetensors");
const files_1 = require("./files");
/**
 * SAEs in a model's graph: their weights are read from a file, like the model's. Those of a float32 checkpoint are read where they
 * lie; others are put into a temporary file, once, which goes with the model.
 */
function saeFiles() {
    const known = new Map();
    let folder;
    const remove = () => {
        if (folder)
            (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
        folder = undefined;
        known.clear();
        process.off("exit", remove);
    };
    return {
        initializers(weights) {
            let found = known.get(weights);
            if (!found) {
                if (!weights.stored && !folder) {
                    folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_fs_1.realpathSync)((0, node_os_1.tmpdir)()), "saelab-sae-"));
                    process.once("exit", remove);
                }
                const { file, offsets } = weights.stored ?? write(weights, (0, node_path_1.join)(folder, `${known.size}.safetensors`));
                const key = `sae.${known.size}`;
                const { latents, d } = weights;
                const sizes = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
                const names = { wEnc: `${key}.wEnc`, bEnc: `${key}.bEnc`, wDec: `${key}.wDec`, bDec: `${key}.bDec` };
                const initializers = Object.keys(sizes).map((part) => ({
                    name: names[part], type: onnx_1.ELEMENT.FLOAT, dims: sizes[part],
                    external: { location: file, offset: offsets[part], length: 4 * sizes[part].reduce((a, b) => a * b, 1) },
                }));
                known.set(weights, (found = { key: `${key} ${weights.k}`, names, insert: { initializers } }));
            }
            return found;
        },
        close: remove,
    };
}
function write(weights, file) {
    const out = (0, node_fs_1.openSync)(file, "wx");
    try {
        for (const piece of (0, checkpoint_1.weightBytes)(weights))
            for (let at = 0; at < piece.byteLength;)
                at += (0, node_fs_1.writeSync)(out, piece, at, Math.min(piece.byteLength - at, 2 ** 30));
    }
    finally {
        (0, node_fs_1.closeSync)(out);
    }
    const source = (0, files_1.fileSource)(file);
    try {
        const { tensors } = (0, safetensors_1.readHeader)(source, file);
        const at = (name) => tensors.get(name).offset;
        return { file, offsets: { wEnc: at("encoder.weight"), bEnc: at("encoder.bias"), wDec: at("W_dec"), bDec: at("b_dec") } };
    }
    finally {
        source.close();
    }
}
//# sourceMappingURL=saefile.js.map