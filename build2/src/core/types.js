"use strict";
/**
 * The values that pass between the rooms of saelab. Arrays are row-major; [n, d] is n rows of width d.
 *
 *   text -model-> tokens -harvest-> rows [n, d] -train-> Sae
 *   rows + Sae -collect-> Features -heatmap, plot-> cell
 */
Object.defineProperty(exports, "__esModule", { value: true });
//# sourceMappingURL=types.js.map