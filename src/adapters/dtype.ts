/** TensorFlow's own numbers of the dtypes used here (tensorflow/core/framework/types.proto). */
export const DT = { f32: 1, f64: 2, i32: 3, i64: 9, bool: 10, bf16: 14, variant: 21 } as const;
export type Dtype = (typeof DT)[keyof typeof DT];
