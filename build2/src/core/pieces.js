"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.atOnce = atOnce;
/** All pieces at once. */
function atOnce(work) {
    for (;;) {
        const { done, value } = work.next();
        if (done)
            return value;
    }
}
//# sourceMappingURL=pieces.js.map