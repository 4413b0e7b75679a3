import Module from "node:module";
import { join } from "node:path";

/**
 * Preloaded (node -r), it hides TensorFlow's binding, as on a machine where set-up made none: requiring it fails as TF.js fails
 * then. Packages that ask for tfjs-node get ours, as set-up lays it.
 */
type Load = (request: string, ...rest: unknown[]) => unknown;
const loader = Module as unknown as { _load: Load };
const load = loader._load;
loader._load = (request, ...rest) => {
  if (request === "@tensorflow/tfjs-node-gpu") throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: (hidden).\nPlease run command");
  return load(request === "@tensorflow/tfjs-node" ? join(__dirname, "../../kernel-ext/tfjs-node/index.js") : request, ...rest);
};
