import { DT, type Dtype } from "./dtype";
import { linearKernels } from "./portablelinear";
import { ELEMENT_KERNELS } from "./portableops";
import { takeBack } from "./portablepool";
import { plainProduct, wasmProduct, type Product } from "./portableproduct";
import { RANK_KERNELS } from "./portableranks";
import { SHAPE_KERNELS } from "./portableshapes";
import { tensorOf, type Attribute, type Attributes, type Kernel, type Tensor } from "./portabletensor";
import type { Binding } from "./tensorflow";

/**
 * What stands in for TensorFlow's binding where there is none: on macOS, Linux on arm64, after a set-up without TensorFlow. The
 * same kernels by the same names, over arrays of JavaScript, products by WebAssembly ("wasm") or in JavaScript ("js"); so that
 * whatever encodes, measures, collects and trains runs unchanged; of processor time it takes 3 to 6 times as much ("js" 25 times).
 * Nothing rounds differently from machine to machine.
 *
 * Arrays that are uploaded are shared, as by TensorFlow on the CPU: they must not change while the tensor lives.
 */
export type PortableDevice = "wasm" | "js";

/** @throws RangeError when WebAssembly is asked for and the engine lacks its 128-bit instructions */
export function portableBinding(device: PortableDevice): Binding {
  const product = device === "wasm" ? wasmProduct() : plainProduct();
  if (!product) throw new RangeError("WebAssembly: expected its 128-bit instructions (SIMD), found an engine without them");
  const kernels = kernelsWith(product);
  const tensors = new Map<number, Tensor>();
  let next = 1;
  const register = (tensor: Tensor): { id: number; shape: number[]; dtype: number } => {
    tensor.holders.count++;
    tensors.set(next, tensor);
    return { id: next++, shape: tensor.shape, dtype: tensor.dtype };
  };
  const find = (id: number): Tensor => {
    const tensor = tensors.get(id);
    if (!tensor) throw new RangeError(`tensor ${id}: expected one that is held, found none: it was deleted`);
    return tensor;
  };
  return {
    TF_Version: "js",
    TF_ATTR_STRING: 0, TF_ATTR_INT: 1, TF_ATTR_BOOL: 2, TF_ATTR_TYPE: 3, TF_ATTR_SHAPE: 4,
    createTensor(shape, dtype, data) {
      const count = shape.reduce((a, b) => a * b, 1);
      if (count !== data.length) throw new RangeError(`expected ${count} numbers for shape [${shape}], found ${data.length}`);
      return register(tensorOf(data, shape, dtype as Dtype)).id;
    },
    deleteTensor(id) {
      letGo(find(id));
      tensors.delete(id);
    },
    tensorDataSync: (id) => find(id).data.slice() as Float32Array | Int32Array,
    executeOp(name, attributes, inputs, outputs) {
      const kernel = kernels[name];
      if (!kernel) throw new RangeError(`expected one that is here without TensorFlow, found ${name}. Run it on TensorFlow: \`npx saelab setup\` installs it where it can be had`);
      const given = inputs.map(find);
      const halves = given.some(({ dtype }) => dtype === DT.bf16);
      if (halves) throw new RangeError("expected float32, found bfloat16, which is not here without TensorFlow");
      const made = kernel(given, valuesOf(attributes as { name: string; value: Attribute }[]));
      if (made.length !== outputs) throw new RangeError(`expected ${outputs} outputs, found ${made.length}`);
      return made.map(register);
    },
    getNumOfTensors: () => tensors.size,
    isUsingGpuDevice: () => false,
  };
}

const valuesOf = (attributes: { name: string; value: Attribute }[]): Attributes => Object.fromEntries(attributes.map(({ name, value }) => [name, value]));

/** What a handle stands for. */
interface Variable {
  value?: Tensor;
}

const variableOf = ({ of }: Tensor): Variable & { value: Tensor } => {
  const variable = of as Variable | undefined;
  if (!variable?.value) throw new RangeError("expected a variable with a value, found one that was never assigned or is destroyed");
  return variable as { value: Tensor };
};

const put = (variable: Variable, value: Tensor | undefined): void => {
  if (value) value.holders.count++;
  if (variable.value) letGo(variable.value);
  variable.value = value;
};

function letGo({ data, holders }: Tensor): void {
  if (--holders.count === 0) takeBack(data);
}

/** The variable's numbers, to be written to: a copy of its own where a tensor has the same. */
function owned(handle: Tensor): Float32Array {
  const variable = variableOf(handle);
  const { value } = variable;
  if (value.holders.count > 1) put(variable, tensorOf(value.data.slice(), value.shape, value.dtype));
  return variable.value.data as Float32Array;
}

/** One step of Adam in place, as TensorFlow makes it: ε is added before the bias correction. */
const adam: Kernel = ([variable, m, v, beta1Power, beta2Power, learningRate, beta1, beta2, epsilon, gradient]) => {
  const [w, first, second, g] = [owned(variable), owned(m), owned(v), gradient.data];
  const [b1, b2, eps] = [beta1, beta2, epsilon].map(({ data }) => data[0]);
  const rate = (learningRate.data[0] * Math.sqrt(1 - beta2Power.data[0])) / (1 - beta1Power.data[0]);
  const [c1, c2, count] = [1 - b1, 1 - b2, w.length];
  for (let i = 0; i < count; i++) {
    const x = g[i];
    const mean = first[i] + (x - first[i]) * c1, square = second[i] + (x * x - second[i]) * c2;
    first[i] = mean;
    second[i] = square;
    w[i] -= (rate * mean) / (Math.sqrt(square) + eps);
  }
  return [];
};

const VARIABLE_KERNELS: Record<string, Kernel> = {
  VarHandleOp: () => [tensorOf(new Float32Array(0), [], DT.variant, { count: 0 }, {} satisfies Variable)],
  AssignVariableOp: ([handle, value]) => {
    put(handle.of as Variable, value);
    return [];
  },
  ReadVariableOp: ([handle]) => {
    const { data, shape, dtype, holders } = variableOf(handle).value;
    return [tensorOf(data, shape, dtype, holders)];
  },
  DestroyResourceOp: ([handle]) => {
    put(handle.of as Variable, undefined);
    return [];
  },
  ResourceApplyAdam: adam,
};

/** All that there is, by TensorFlow's names. */
export const kernelsWith = (product: Product): Record<string, Kernel | undefined> =>
  ({ ...ELEMENT_KERNELS, ...SHAPE_KERNELS, ...RANK_KERNELS, ...linearKernels(product), ...VARIABLE_KERNELS });
