"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.Variable = void 0;
exports.createVariables = createVariables;
/**
 * One variable of the notebook, shared by all cells. Compiled cells read and write `v`; reading or assigning what was never declared
 * is a ReferenceError, because then `v` is still the prototype's.
 */
class Variable {
    name;
    constructor(name) {
        this.name = name;
    }
    /** Declares it (again), with that value. */
    d(value) {
        Object.defineProperty(this, "v", { value, writable: true, enumerable: true, configurable: true });
    }
    /** Whether it was declared. */
    get h() {
        return Object.hasOwn(this, "v");
    }
}
exports.Variable = Variable;
Object.defineProperty(Variable.prototype, "v", {
    get() {
        throw new ReferenceError(`${this.name} is not defined`);
    },
    set() {
        throw new ReferenceError(`${this.name} is not defined`);
    },
});
/** The variables of one notebook. */
function createVariables() {
    const all = new Map();
    return {
        get(name) {
            let found = all.get(name);
            if (!found)
                all.set(name, (found = new Variable(name)));
            return found;
        },
        has: (name) => all.get(name)?.h ?? false,
    };
}
//# sourceMappingURL=variables.js.map