"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.found = exports.FIXTURES = void 0;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
/**
 * A folder with more models and SAEs than test/oracle holds, made by the same makers: `SAELAB_FIXTURES`, by default ../shared/fixtures
 * beside the package. A test that needs a file of it is registered only where the file is; test/run says so when the folder is absent.
 */
exports.FIXTURES = process.env.SAELAB_FIXTURES ?? (0, node_path_1.join)(__dirname, "../../../shared/fixtures");
/** The first of these paths that exists. */
const found = (...paths) => paths.find((path) => (0, node_fs_1.existsSync)(path));
exports.found = found;
//# sourceMappingURL=fixtures.js.map