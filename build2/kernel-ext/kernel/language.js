"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
//# sourceMappingURL=language.js.map