"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.strftime = strftime;
const MONTHS = "January February March April May June July August September October November December".split(" ");
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
/**
 * A date in Python's words, local time, English names whatever the computer's language: what chat templates ask of strftime_now.
 * A directive that is not known stays as it is.
 * @see https://docs.python.org/3/library/datetime.html#format-codes
 */
function strftime(date, format) {
    const two = (n) => String(n).padStart(2, "0");
    const day = Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) / 864e5);
    const fields = {
        a: DAYS[date.getDay()].slice(0, 3), A: DAYS[date.getDay()], w: String(date.getDay()),
        b: MONTHS[date.getMonth()].slice(0, 3), B: MONTHS[date.getMonth()], m: two(date.getMonth() + 1),
        d: two(date.getDate()), e: String(date.getDate()).padStart(2), j: String(day).padStart(3, "0"),
        y: two(date.getFullYear() % 100), Y: String(date.getFullYear()),
        H: two(date.getHours()), I: two(date.getHours() % 12 || 12), p: date.getHours() < 12 ? "AM" : "PM",
        M: two(date.getMinutes()), S: two(date.getSeconds()), "%": "%",
    };
    fields.F = `${fields.Y}-${fields.m}-${fields.d}`;
    fields.T = `${fields.H}:${fields.M}:${fields.S}`;
    return format.replace(/%(-?)([a-zA-Z%])/g, (whole, dash, letter) => {
        const field = fields[letter];
        return field === undefined ? whole : dash ? field.replace(/^[0 ]+(?=.)/, "") : field;
    });
}
//# sourceMappingURL=strftime.js.map