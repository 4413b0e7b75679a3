/**
 * One variable of the notebook, shared by all cells. Compiled cells read and write `v`; reading or assigning what was never declared
 * is a ReferenceError, because then `v` is still the prototype's.
 */
export class Variable {
  constructor(readonly name: string) {}

  declare v: unknown;

  /** Declares it (again), with that value. */
  d(value: unknown): void {
    Object.defineProperty(this, "v", { value, writable: true, enumerable: true, configurable: true });
  }

  /** Whether it was declared. */
  get h(): boolean {
    return Object.hasOwn(this, "v");
  }
}

Object.defineProperty(Variable.prototype, "v", {
  get(this: Variable) {
    throw new ReferenceError(`${this.name} is not defined`);
  },
  set(this: Variable) {
    throw new ReferenceError(`${this.name} is not defined`);
  },
});

export interface Variables {
  /** The variable of that name, declared or not. */
  get(name: string): Variable;
  has(name: string): boolean;
}

/** The variables of one notebook. */
export function createVariables(): Variables {
  const all = new Map<string, Variable>();
  return {
    get(name) {
      let found = all.get(name);
      if (!found) all.set(name, (found = new Variable(name)));
      return found;
    },
    has: (name) => all.get(name)?.h ?? false,
  };
}
