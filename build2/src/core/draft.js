"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.int64s = void 0;
exports.draft = draft;
const onnx_1 = require("./onnx");
function draft() {
    const nodes = [];
    const initializers = new Map();
    const made = new Set();
    return {
        nodes,
        initializers,
        add(op, inputs, output, attributes = {}) {
            if (!made.has(output))
                nodes.push({ op, inputs, outputs: [output], attributes });
            made.add(output);
            return output;
        },
        contrib(op, inputs, outputs, attributes = {}) {
            nodes.push({ op, inputs, outputs, attributes, domain: "com.microsoft" });
        },
        ints(name, values) {
            initializers.set(name, (0, exports.int64s)(name, values));
            return name;
        },
        float(name, value) {
            initializers.set(name, { name, type: onnx_1.ELEMENT.FLOAT, dims: [], raw: new Uint8Array(Float32Array.of(value).buffer) });
            return name;
        },
    };
}
const int64s = (name, values) => ({ name, type: onnx_1.ELEMENT.INT64, dims: [values.length], raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });
exports.int64s = int64s;
//# sourceMappingURL=draft.js.map