"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.kinds = void 0;
exports.solve = solve;
exports.makePuzzle = makePuzzle;
/**
 * The puzzles: each maker draws one from a random source and gives its text, its structured form (from which the answer can
 * be computed again) and the steps a solver goes through, with the wording of right and wrong turns.
 */
const phrases_1 = require("./phrases");
const apply = (a, op, b) => (op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : a / b);
/** The answer of a puzzle, from its structured form alone; for logic puzzles by trying every case. */
function solve(facts) {
    switch (facts.kind) {
        case "parity": {
            let value = facts.numbers[0];
            facts.ops.forEach((op, i) => { value = apply(value, op, facts.numbers[i + 1]); });
            return value % 2 === 0 ? "even" : "odd";
        }
        case "ordering": {
            const beats = (a, b) => facts.above.some(([x, y]) => x === a && (y === b || beats(y, b)));
            const others = (a) => facts.names.filter((b) => b !== a);
            return facts.names.filter((a) => others(a).every((b) => (facts.asks === "most" ? beats(a, b) : beats(b, a)))).join(" or ");
        }
        case "liar":
            return facts.names.filter((liar) => facts.says.every((s) => (s.lies === (s.about === liar)) === (s.by !== liar))).join(" or ");
        case "elimination": {
            const [a, b, c] = facts.items;
            const orders = [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]];
            const item = (order, name) => order[facts.names.indexOf(name)];
            const fits = orders.filter((o) => item(o, facts.has[0]) === facts.has[1] && item(o, facts.hasNot[0]) !== facts.hasNot[1]);
            return [...new Set(fits.map((o) => facts.names[o.indexOf(facts.asks)] ?? item(o, facts.asks)))].join(" or ");
        }
        default:
            return String(facts.operations.reduce((value, [op, b]) => apply(value, op, b), facts.start));
    }
}
const word = {
    "+": { between: "[plus|+]", gerund: "adding", past: "added", undo: "-", wrong: "-" },
    "-": { between: "[minus|-]", gerund: "subtracting", past: "subtracted", undo: "+", wrong: "+" },
    "*": { between: "[times|*]", gerund: "multiplying by", past: "multiplied by", undo: "/", wrong: "+" },
    "/": { between: "[divided by|/]", gerund: "dividing by", past: "divided by", undo: "*", wrong: "-" },
};
const opKnowledge = {
    "+": [
        "[in general,|as a rule,|] [a sum|adding] [does not depend on the order|goes in any order|can be done in any order][|: 3 + 4 is 4 + 3|: 2 + 10 is 10 + 2]",
        "what [was|is] added can be [taken away|undone] again by subtracting[|: 10 + 5 - 5 is 10|: 8 + 2 - 2 is 8]",
        "a [mistake|slip] in a sum [shows|can be seen] when one goes back by subtracting",
        "getting more of [something|the same] [means|is a case of] adding",
        "a sum [is|must be] larger than each of its parts, if [none|neither] of them is nothing",
    ],
    "-": [
        "giving away [means|is a case of|calls for] subtracting",
        "[in general,|as a rule,|] a difference [cannot be|is never] [larger|more] than the number one starts from[|: 9 - 4 is less than 9|: 20 - 1 is less than 20]",
        "subtracting [undoes|takes back] what adding does[|: 7 - 3 + 3 is 7|: 30 - 5 + 5 is 30]",
        "the order [counts|must be kept] in a difference, [but|and] not in a sum[|: 9 - 2 is not 2 - 9|, 6 - 1 is not 1 - 6]",
        "what is left and what [went|is gone] together [make|are] what [was there|one had]",
    ],
    "*": [
        "[equal groups|the same number several times] [mean|call for] multiplying",
        "multiplying is [the same as|nothing but|only] adding the same number again and again[|: 3 * 4 is 4 + 4 + 4|: 2 * 7 is 7 + 7]",
        "[in general,|as a rule,|] a product [does not depend on the order|can be taken in any order][|: 3 * 5 is 5 * 3|: 2 * 8 is 8 * 2]",
        "what was multiplied [can be|is] undone by dividing",
    ],
    "/": [
        "sharing [equally|in equal parts] [means|is a case of|calls for] dividing",
        "[in general,|as a rule,|] dividing takes back what multiplying does[|: 5 * 3 / 3 is 5|: 4 * 2 / 2 is 4]",
        "when all parts are equal, one part times their number [is|gives] the whole",
        "a part [cannot be|is never] larger than the whole it came from",
    ],
};
const possessive = (name) => `${name}'s`;
/** The number with one unit or one ten too many or too few, at least 1. */
function slipped(rng, value) {
    const [by, off] = (0, phrases_1.pick)(rng, [["one", 1], ["one", -1], ["ten", 10], ["ten", -10], ["two", 2]]);
    return value + off > 0 ? { value: value + off, by } : { value: value + 1, by: "one" };
}
/** The step `sought` = a op b; `others` are numbers of the puzzle that could be taken for b by mistake. */
function arithmeticStep(rng, a, op, b, about) {
    const { sought, unit, story } = about;
    const right = apply(a, op, b);
    const e = (x, o, y) => `${x} ${word[o].between} ${y}`;
    const derive = (expr, v, how, by) => [
        `${expr} [is|gives|makes|comes to] ${v}`,
        `${expr} = ${v}[|, so ${sought} [is|comes to|must be] ${v}]`,
        `so ${sought} [is|must be|comes to] ${v}, [as|since|because] ${expr} [is|makes|gives] ${v}`,
        `from ${a} and ${by} it follows that ${sought} [is|must be] ${v}`,
        `[with|taking|by] ${expr} [I|we] [get|reach|end at] ${v} ${unit}`,
        `that [leaves|gives|makes] ${v} ${unit}, [as|because|since] ${expr} = ${v}`,
        `${sought}: ${expr}, [which is|that is|and that makes] ${v}`,
        `${story}, [so|hence|and] ${expr} [=|is|makes] ${v}`,
        `starting from ${a}, [${word[how].gerund} ${by}|the step ${expr}] [leads|takes me|brings me] to ${v} ${unit}`,
        `hence ${sought} [is|comes to] ${expr}, [that is|meaning] ${v}`,
    ];
    const undo = word[op].undo;
    const back = (v) => e(v, undo, b);
    const undone = (v) => apply(v, undo, b);
    const check = [
        `[put|try|take] ${right} [back in the text|in the story]: ${back(right)} [is|gives|makes] ${a}, [which|and that] [fits|agrees with the text|is what was given]`,
        `if ${sought} [is|were|was] ${right}, then ${back(right)} [is|would be|gives] ${a}, [just|exactly] as [given|told|it should be]`,
        `with ${right} the [story|text] [reads|runs|goes] ${back(right)} = ${a}, and ${a} is [there|what it says|not wrong]`,
        `${back(right)} [is|gives] ${a} again, so ${right} [holds|stands|passes]`,
        `[a test|a check|the test]: ${back(right)} [is|makes|=] ${a}, [no clash|as in the text|nothing is off]`,
        `going back from ${right}, ${back(right)} [is|gives|makes] ${a}, and ${a} [was given|is in the text]`,
        `does ${right} fit: ${back(right)} [is|gives|makes] ${a}, [so it does|and so it should be]`,
    ];
    const failed = (v) => {
        const u = undone(v);
        const shown = Number.isInteger(u) ? `${u}` : `no whole number`;
        return [
            `[put|try|take] ${v} [back in the text|in the story]: ${back(v)} [is|gives|makes] ${shown}, [but|while|yet] the text has ${a}`,
            `if ${sought} [is|were|was] ${v}, then ${back(v)} [is|would be|gives] ${shown}, [not|and not] ${a}`,
            `with ${v} the [story|text] [reads|runs|goes] ${back(v)} = ${shown}, and ${a} is [there|what it says]`,
            `${back(v)} [is|gives|makes] ${shown} [instead of|and not|rather than] ${a}`,
            `[a test|a check|the test]: ${back(v)} [is|makes|=] ${shown}, [which|and that] does not fit ${a}`,
            `going back from ${v}, ${back(v)} [is|gives|makes] ${shown}, and ${a} was given`,
            `does ${v} fit: ${back(v)} [is|gives|makes] ${shown}, [so it does not|and it should be ${a}]`,
        ];
    };
    const wrong = [];
    const other = word[op].wrong;
    const mixed = apply(a, other, b);
    if (mixed > 0 && mixed !== right) {
        wrong.push({
            value: String(mixed),
            derive: derive(e(a, other, b), mixed, other, b),
            check: failed(mixed),
            why: [
                `I [had|] ${word[other].past} ${b} [where|although|while] the text [wants|calls for|means] ${word[op].gerund}`,
                `it [was|had to be] ${e(a, op, b)} [and not|rather than|in place of] ${e(a, other, b)}`,
                `${word[other].gerund} ${b} [was|went] against the text`,
            ],
        });
    }
    const near = [...(about.others ?? []), b + 1, b + 10, b > 2 ? b - 1 : b + 2];
    const taken = (0, phrases_1.pick)(rng, near.filter((n) => n !== b && Number.isInteger(apply(a, op, n)) && apply(a, op, n) > 0));
    if (taken !== undefined) {
        const value = apply(a, op, taken);
        wrong.push({
            value: String(value),
            derive: derive(e(a, op, taken), value, op, taken),
            check: failed(value),
            why: [
                `I [took|used|read] ${taken} [where the text has|in place of|instead of|for] ${b}`,
                `the number [was|had to be] ${b}, not ${taken}`,
                `${taken} [was|got] [taken|put in] where ${b} [belonged|stood in the text]`,
            ],
        });
    }
    const slip = slipped(rng, right);
    wrong.push({
        value: String(slip.value),
        derive: derive(e(a, op, b), slip.value, op, b),
        check: failed(slip.value),
        why: [
            `I [miscounted|slipped|was off] by ${slip.by} in ${e(a, op, b)}`,
            `${e(a, op, b)} [was|came out] ${slip.by} [off|too far]`,
        ],
    });
    return {
        sought, value: String(right), from: (0, phrases_1.pick)(rng, [String(a), `${a} and ${b}`]), derive: derive(e(a, op, b), right, op, b),
        knowledge: [...(about.knowledge ?? opKnowledge[op]), ...opKnowledge[op]], check, wrong,
    };
}
function arithmetic(rng) {
    const who = (0, phrases_1.pick)(rng, phrases_1.names);
    const thing = (0, phrases_1.pick)(rng, phrases_1.things);
    const groups = (0, phrases_1.chance)(rng, 0.4);
    let value;
    const operations = [];
    const steps = [];
    const text = [];
    let start;
    const given = [];
    if (groups) {
        start = (0, phrases_1.between)(rng, 2, 9);
        const each = (0, phrases_1.between)(rng, 2, 9);
        const box = (0, phrases_1.pick)(rng, ["boxes", "bags", "rows", "trays"]);
        text.push((0, phrases_1.expand)(rng, `[{who} has {n} {box} with {m} {thing} in each|There are {n} {box} of {m} {thing} each for {who}|{who} fills {n} {box}, {m} {thing} in every one].`, { who, n: start, box, m: each, thing }));
        operations.push(["*", each]);
        value = start * each;
        given.push(`${start} ${box} of ${each}`);
        steps.push(arithmeticStep(rng, start, "*", each, {
            sought: (0, phrases_1.pick)(rng, [`the ${thing} in all ${box}`, `the count for all ${box}`, `the first number of ${thing}`]), unit: thing,
            story: `there [are|were] ${start} ${box} of ${each}`,
        }));
    }
    else {
        start = value = (0, phrases_1.between)(rng, 8, 50);
        text.push((0, phrases_1.expand)(rng, "[{who} has {n} {thing}|{who} owned {n} {thing}|At first {who} had {n} {thing}|There were {n} {thing} in the room of {who}].", { who, n: value, thing }));
        given.push(`${value} ${thing}`);
    }
    const count = groups ? 1 : (0, phrases_1.between)(rng, 1, 2);
    const used = [start];
    for (let i = 0; i < count; i++) {
        const canShare = !groups && i === count - 1 && [2, 3, 4, 5].filter((n) => value % n === 0 && value / n > 1);
        const op = canShare && canShare.length > 0 && (0, phrases_1.chance)(rng, 0.25) ? "/" : (0, phrases_1.chance)(rng, 0.5) && value > 6 ? "-" : "+";
        const b = op === "/" ? (0, phrases_1.pick)(rng, canShare) : op === "-" ? (0, phrases_1.between)(rng, 2, Math.min(30, value - 2)) : (0, phrases_1.between)(rng, 2, 30);
        const friend = (0, phrases_1.pick)(rng, phrases_1.names.filter((n) => n !== who));
        const slots = { who, n: b, thing, friend };
        text.push((0, phrases_1.expand)(rng, op === "+"
            ? "[{friend} brings {n} more|{who} buys {n} more|Then {n} more are found|{who} gets {n} from {friend}|{who} picks up {n} {thing}]."
            : op === "-"
                ? "[{who} gives {n} to {friend}|{who} gives away {n} {thing}|Then {n} are lost|{who} sells {n} of them|{friend} takes {n} away|{n} {thing} break]."
                : "[{who} shares them equally among {n} friends|They are put in {n} equal heaps|{n} children share them equally].", slots));
        const sought = (0, phrases_1.pick)(rng, op === "+" ? [`the new number of ${thing}`, `the count with the ${b} more`, `the stock after that`]
            : op === "-" ? [`the number of ${thing} left`, `what is left after the ${b}`, `the stock after that`]
                : [`the share for each one`, `one share`, `what one of the ${b} gets`]);
        const story = op === "+" ? `${b} more [came|are added|came in]` : op === "-" ? `${b} [went away|are gone|went]` : `${b} [share|shared] them`;
        steps.push(arithmeticStep(rng, value, op, b, { sought, unit: thing, story, others: used.filter((n) => n < value) }));
        operations.push([op, b]);
        given.push(op === "/" ? `${b} shares` : `${b} ${op === "+" ? (0, phrases_1.pick)(rng, ["more", "coming in"]) : (0, phrases_1.pick)(rng, ["less", "going away"])}`);
        used.push(b);
        value = apply(value, op, b);
    }
    const shared = operations[operations.length - 1][0] === "/";
    text.push((0, phrases_1.expand)(rng, shared ? "[How many does each one get|How many {thing} are in one share]?"
        : "[How many {thing} does {who} have now|How many {thing} are there in the end|What is the number of {thing} now]?", { who, thing }));
    return { text: text.join(" "), given: (0, phrases_1.list)(given), steps, answer: String(value), facts: { kind: "arithmetic", start, operations } };
}
function shop(rng) {
    const who = (0, phrases_1.pick)(rng, phrases_1.names);
    const thing = (0, phrases_1.pick)(rng, phrases_1.things);
    const n = (0, phrases_1.between)(rng, 2, 9);
    const price = (0, phrases_1.between)(rng, 2, 9);
    const cost = n * price;
    const change = (0, phrases_1.chance)(rng, 0.55);
    const steps = [arithmeticStep(rng, n, "*", price, {
            sought: (0, phrases_1.pick)(rng, [`the price of the ${thing}`, `the price for ${n} ${thing}`]), unit: "euros", story: `each of the ${n} [costs|cost] ${price}`,
        })];
    const operations = [["*", price]];
    let text;
    let answer;
    let given;
    if (change) {
        const bill = (0, phrases_1.pick)(rng, [10, 20, 50, 100].filter((x) => x > cost));
        text = (0, phrases_1.expand)(rng, "[{who} buys {n} {thing} for {p} euros each and pays with {bill} euros.|In a shop {thing} cost {p} euros each. {who} takes {n} and hands over {bill} euros.|{who} pays {n} {thing} at {p} euros each with a {bill} euro note.] [How much change does {who} get back|What is the change|How many euros come back]?", { who, n, thing, p: price, bill });
        answer = bill - cost;
        operations.push(["-", bill], ["*", -1]);
        given = `${n} ${thing} at ${price} and a note of ${bill}`;
        steps.push(arithmeticStep(rng, bill, "-", cost, {
            sought: "the change", unit: "euros", story: `${cost} of the ${bill} [go|went] to the shop`, others: [n, price],
            knowledge: ["the change is what is left of the note [after paying|when the price is taken off]", "price and change together [make|are] the note"],
        }));
    }
    else {
        const extra = (0, phrases_1.between)(rng, 2, 20);
        const item = (0, phrases_1.pick)(rng, ["a bag", "a lamp", "a ball", "a map", "a hat"]);
        text = (0, phrases_1.expand)(rng, "[{who} buys {n} {thing} for {p} euros each and {item} for {x} euros.|In a shop {thing} cost {p} euros each and {item} costs {x} euros. {who} takes {n} {thing} and {item}.] [How much does {who} pay|What is the price of it all|How many euros is that]?", { who, n, thing, p: price, item, x: extra });
        answer = cost + extra;
        operations.push(["+", extra]);
        given = `${n} ${thing} at ${price} and ${item} for ${extra}`;
        steps.push(arithmeticStep(rng, cost, "+", extra, {
            sought: (0, phrases_1.pick)(rng, ["the price of it all", "the price in the end"]), unit: "euros", story: `${item} for ${extra} [comes|came] on top`, others: [n, price],
        }));
    }
    return { text, given, steps, answer: String(answer), facts: { kind: "shop", start: n, operations } };
}
function ages(rng) {
    const [a, b] = (0, phrases_1.sample)(rng, phrases_1.names, 2);
    const age = (0, phrases_1.between)(rng, 6, 40);
    const op = (0, phrases_1.chance)(rng, 0.2) && age < 25 ? "*" : (0, phrases_1.chance)(rng, 0.5) && age > 9 ? "-" : "+";
    const d = op === "*" ? (0, phrases_1.between)(rng, 2, 3) : op === "-" ? (0, phrases_1.between)(rng, 2, Math.min(15, age - 4)) : (0, phrases_1.between)(rng, 2, 15);
    const second = apply(age, op, d);
    const years = "[in general,|as a rule,|] the gap between two ages [is the same in every year|does not change|stays the same for life]";
    const relation = op === "*" ? "[{b} is {d} times as old|The age of {b} is {d} times that]" : op === "+"
        ? "[{b} is {d} years older|{a} is {d} years younger than {b}]" : "[{b} is {d} years younger|{a} is {d} years older than {b}]";
    const steps = [arithmeticStep(rng, age, op, d, {
            sought: (0, phrases_1.pick)(rng, [`the age of ${b}`, `${possessive(b)} age`]), unit: "years",
            story: op === "*" ? `${b} is ${d} times as old` : `${b} [is|was] ${d} years [from ${a}|${op === "+" ? "above" : "below"} ${a}]`,
            knowledge: op === "*" ? undefined : [years, op === "+" ? "older [means|is] a larger number of years" : "younger [means|is] a smaller number of years"],
        })];
    const operations = [[op, d]];
    let question = `[How old is ${b}|What is the age of ${b}]?`;
    let value = second;
    const given = [`${age} for ${a}`, op === "*" ? `${d} times that` : `${d} years ${op === "+" ? "more" : "less"} for ${b}`];
    if ((0, phrases_1.chance)(rng, 0.65)) {
        const later = (0, phrases_1.chance)(rng, 0.7) || second < 8 ? "+" : "-";
        const t = (0, phrases_1.between)(rng, 2, later === "+" ? 20 : Math.min(12, second - 3));
        question = later === "+" ? `[How old will ${b} be in ${t} years|What will the age of ${b} be in ${t} years]?`
            : `[How old was ${b} ${t} years ago|What was the age of ${b} ${t} years ago]?`;
        steps.push(arithmeticStep(rng, second, later, t, {
            sought: later === "+" ? `${possessive(b)} age in ${t} years` : `${possessive(b)} age ${t} years ago`, unit: "years",
            story: later === "+" ? `${t} years [go by|come on top]` : `${t} years [are taken off|went by]`, others: [d],
            knowledge: [years, later === "+" ? "[each year|every year] adds one to an age" : "[each year|every year] back takes one off an age"],
        }));
        operations.push([later, t]);
        value = apply(second, later, t);
        given.push(`${t} years ${later === "+" ? "from now" : "ago"}`);
    }
    const text = (0, phrases_1.expand)(rng, `[{a} is {age} years old|{a} is {age}|The age of {a} is {age}]. ${relation}. ${question}`, { a, b, age, d });
    return { text, given: (0, phrases_1.list)(given), steps, answer: String(value), facts: { kind: "ages", start: age, operations } };
}
function units(rng) {
    const [big, small, factor, max, fact] = (0, phrases_1.pick)(rng, [
        ["weeks", "days", 7, 9, "a week [has|is] 7 days"], ["dozen eggs", "eggs", 12, 6, "a dozen [is|means] 12"],
        ["minutes", "seconds", 60, 4, "a minute [has|is] 60 seconds"], ["hours", "minutes", 60, 4, "an hour [has|is] 60 minutes"],
        ["days", "hours", 24, 4, "a day [has|is] 24 hours"], ["m", "cm", 100, 9, "1 m [is|has] 100 cm"],
        ["feet", "inches", 12, 7, "a foot [is|has] 12 inches"], ["km", "m", 1000, 9, "1 km [is|has] 1000 m"],
        ["years", "months", 12, 6, "a year [has|is] 12 months"], ["euros", "cents", 100, 9, "1 euro [is|has] 100 cents"],
    ]);
    const n = (0, phrases_1.between)(rng, 2, max);
    const rest = (0, phrases_1.between)(rng, 1, Math.min(factor - 1, 50));
    const extra = (0, phrases_1.chance)(rng, 0.7);
    const what = (0, phrases_1.pick)(rng, ["A film", "A trip", "A job", "A game"]);
    const thing = (0, phrases_1.pick)(rng, ["A rope", "A path", "A wall", "A line"]);
    const amount = extra ? `${n} ${big} and ${rest} ${small}` : `${n} ${big}`;
    const who = (0, phrases_1.pick)(rng, phrases_1.names);
    const holder = big === "dozen eggs" || big === "euros" ? `${who} has ${amount}` : ["m", "feet", "km"].includes(big)
        ? `[${thing} ${extra ? "measures" : "is long"}|${who} ${big === "km" ? "walks" : "jumps and crawls"}] ${amount}` : `[${what} of ${who} takes|${who} waits] ${amount}`;
    const text = (0, phrases_1.expand)(rng, `${holder}. [How many ${small} is that|How many ${small} are there in all|What is that in ${small}]?`, {});
    const steps = [arithmeticStep(rng, n, "*", factor, {
            sought: `the ${small} in ${n} ${big}`, unit: small, story: `each of the ${n} [counts|counted] ${factor}`,
            knowledge: [`[one knows that|as everyone knows,|by definition|] ${fact}`, `${fact}, [no more and no less|in every case|always]`, fact, `[in general,|] ${fact}`],
            others: [10, 12, 60, 100].filter((x) => x !== factor),
        })];
    const operations = [["*", factor]];
    if (extra) {
        steps.push(arithmeticStep(rng, n * factor, "+", rest, {
            sought: `the ${small} in all`, unit: small, story: `${rest} more [come|came] on top`, others: [n],
        }));
        operations.push(["+", rest]);
    }
    return { text, given: amount, steps, answer: solve({ kind: "units", start: n, operations }), facts: { kind: "units", start: n, operations } };
}
function parity(rng) {
    const three = (0, phrases_1.chance)(rng, 0.6);
    const ns = Array.from({ length: three ? 3 : 2 }, () => (0, phrases_1.between)(rng, 2, 49));
    const ops = ns.slice(1).map((_, i) => (i === 0 && (0, phrases_1.chance)(rng, 0.3) ? "*" : "+"));
    const name = (n) => (n % 2 === 0 ? "even" : "odd");
    const flip = (p) => (p === "even" ? "odd" : "even");
    const shown = ns.map((n, i) => (i === 0 ? `${n}` : `${ops[i - 1] === "+" ? "+" : "*"} ${n}`)).join(" ");
    const text = (0, phrases_1.expand)(rng, `[Is ${shown} even or odd|Is the result of ${shown} an even or an odd number|Someone works out ${shown}. Is that even or odd]?`, {});
    const rule = (p, op, q) => op === "+"
        ? ["[in general,|as a rule,|] even plus even [is|gives] even, and odd plus odd [is|gives] even as well[|: 3 + 5 is 8|: 1 + 7 is 8]",
            "[in general,|as a rule,|] odd plus even [is|gives] odd, [in any order|whatever the order][|: 3 + 2 is 5|: 4 + 5 is 9]",
            "two numbers of the same kind have an even sum, [two of different kinds do not|else it is odd]",
            "the last digit [says|tells] whether a number is even", `${p} plus ${q} [is|gives] ${p === q ? "even" : "odd"}, [whatever the numbers|in every case]`]
        : ["[in general,|as a rule,|] a product is odd only if both [parts|numbers] are odd", "an even number times anything [is|stays] even",
            "the last digit [says|tells] whether a number is even", "odd times odd [is|gives] odd, [in every case|whatever the numbers]"];
    let value = ns[0];
    const steps = ops.map((op, i) => {
        const before = value;
        const b = ns[i + 1];
        value = apply(value, op, b);
        const p = name(before);
        const q = name(b);
        const r = name(value);
        const w = flip(r);
        const join = op === "+" ? "[plus|+]" : "[times|*]";
        const left = i === 0 ? `${before}` : "the number so far";
        const sought = ops.length === 1 ? "the kind for the result" : i === 0 ? `the kind for ${before} ${op} ${b}` : "the kind for the whole";
        const total = op === "+" || value < 150;
        const derive = (x, y, v) => [
            `${left} is ${x} and ${b} is ${y}, so [the result|${sought}] [is|must be] ${v}`,
            `${x} ${join} ${y} [is|gives|makes] ${v}`,
            `since ${left} is ${x} and ${b} is ${y}, [I|we] get ${v}`,
            `so ${sought} [is|must be] ${v}, [as|because] ${left} is ${x} [and|while] ${b} is ${y}`,
            `${b} is ${y}, hence ${x} ${join} ${y} [leads to|makes|brings me to] ${v}`,
            `[with|taking] ${x} for ${left} and ${y} for ${b}, ${sought} comes to ${v}`,
        ];
        const check = (v) => {
            const ok = v === r;
            const end = ok ? `[so ${v} holds|which fits ${v}|and ${v} passes]` : `[so ${v} does not hold|which does not fit ${v}|and that is not ${v}]`;
            const tries = total ? [
                `[put the numbers in|try the numbers|a test]: ${before} ${join} ${b} [is|gives|makes] ${value}, ${end}`,
                `if it [is|were|was] ${v}, then ${value} [should|would have to] be ${v}, [and|] ${ok ? "[it is|so it is]" : "[it is not|but it is not]"}`,
                `does ${v} fit: ${before} ${join} ${b} = ${value}, ${end}`,
            ] : [];
            const small = op === "+" ? [p === "even" ? 2 : 1, q === "even" ? 2 : 1] : [p === "even" ? 2 : 3, q === "even" ? 2 : 3];
            return [...tries, `[take|try|with] ${small[0]} and ${small[1]} [for example|in their place]: ${small[0]} ${join} ${small[1]} [is|makes] ${apply(small[0], op, small[1])}, ${end}`];
        };
        return {
            sought, value: r, from: `${before} and ${b}`, derive: derive(p, q, r), knowledge: rule(p, op, q), check: check(r),
            wrong: [
                ...(op === "+" || q === "odd" ? [{
                        value: w, derive: op === "+" ? derive(flip(p), q, w) : derive(flip(p), q, w), check: check(w),
                        why: [`I [took|read|counted] ${left} as ${flip(p)} [although|while|where] it is ${p}`, `${left} [was|had to be] ${p}, not ${flip(p)}`],
                    }] : []),
                {
                    value: w, derive: derive(p, q, w), check: check(w),
                    why: [`I [mixed up|turned round] the rule for ${p} and ${q}`, `the rule for ${p} and ${q} [was|came out] turned round`,
                        `${p} ${join} ${q} [was|had to be] ${r}, not ${w}`],
                },
            ],
        };
    });
    return { text, given: `the numbers ${(0, phrases_1.list)(ns)}`, steps, answer: name(value), facts: { kind: "parity", numbers: ns, ops } };
}
function ordering(rng) {
    const [more, less, most, least] = (0, phrases_1.pick)(rng, [
        ["taller", "shorter", "tallest", "shortest"], ["older", "younger", "oldest", "youngest"], ["faster", "slower", "fastest", "slowest"],
        ["heavier", "lighter", "heaviest", "lightest"], ["richer", "poorer", "richest", "poorest"], ["stronger", "weaker", "strongest", "weakest"],
    ]);
    const count = (0, phrases_1.between)(rng, 3, 4);
    const order = (0, phrases_1.sample)(rng, phrases_1.names, count); // most first
    const above = order.slice(1).map((below, i) => [order[i], below]);
    const clue = ([x, y]) => ((0, phrases_1.chance)(rng, 0.5) ? `${x} is ${more} than ${y}` : `${y} is ${less} than ${x}`);
    const clues = new Map(above.map((pair) => [pair, clue(pair)]));
    const asks = (0, phrases_1.chance)(rng, 0.5) ? "most" : "least";
    const superlative = asks === "most" ? most : least;
    const than = asks === "most" ? more : less;
    const text = `${(0, phrases_1.sample)(rng, above, above.length).map((pair) => `${clues.get(pair)}.`).join(" ")} ${(0, phrases_1.expand)(rng, `[Who is the ${superlative}|Which one is the ${superlative}|Who of them is the ${superlative}]?`, {})}`;
    // The solver begins with one clue and lets the others join the chain, on either side.
    let lo = (0, phrases_1.between)(rng, 0, above.length - 1);
    let hi = lo + 1;
    const steps = [];
    const knowledge = [
        `if one is ${than} than a second, the second cannot be the ${superlative}`,
        `who is ${than} than the ${superlative} so far [takes that place|is the new one]`,
        `${more} and ${less} [say|tell] the same, only [from the other side|the other way round]`,
        `[in general,|as a rule,|] one who is ${more} than a second is ${more} than all [below|after] that one as well`,
        `[in general,|as a rule,|] only one can be the ${superlative}, [if all are different|when no two are the same]`,
    ];
    const add = (pair, first, extendsTop) => {
        const leader = asks === "most" ? order[lo] : order[hi];
        const [x, y] = pair;
        const said = clues.get(pair);
        const joined = extendsTop ? x : y;
        const last = steps.length === above.length - 1;
        const sought = last ? `the ${superlative} of all` : first ? `the ${than} one, ${x} or ${y}` : `the ${superlative} so far`;
        const loser = first ? (leader === x ? y : x) : leader === joined ? (joined === x ? y : x) : joined;
        const derive = (v, other) => [
            `${said}, so ${v} is ${sought}`,
            `${v} is [ahead|in front] of ${other}, [as|since|because] ${said}`,
            `so ${sought} [is|must be] ${v}, [as|since|because] ${said}`,
            `from "${said}" it follows that ${v} is ${sought}`,
            `${said}: that [makes|leaves] ${v} the ${first ? than : superlative}, [and|so] not ${other}`,
            `[with|taking] ${joined} in the [line|row], ${v} is ${sought}`,
            `hence ${v} [comes|is] before ${other} and is ${sought}`,
        ];
        const check = (v, ok) => ok ? [
            `[put|try|take] ${v} [at the top|in front]: ${said} [holds|fits], [no clash|nothing is off]`,
            `if ${v} [is|were|was] ${sought}, then ${loser} [comes|is] after, [just|exactly] as the text has it`,
            `with ${v} in front the text [reads|goes] ${said}, and that [fits|agrees]`,
            `does ${v} fit: ${said}, so it does`,
            `[a test|a check|the test]: ${v} before ${loser}, and ${said}, [no clash|as it should be]`,
        ] : [
            `[put|try|take] ${v} [at the top|in front]: ${said} [breaks|does not fit]`,
            `if ${v} [is|were|was] ${sought}, then ${leader} [comes|is] after, [not|and not] as the text has it`,
            `with ${v} in front the text [reads|goes] ${said}, and that does not fit`,
            `does ${v} fit: ${said}, so it does not`,
            `[a test|a check|the test]: ${v} before ${leader}, but ${said}, [a clash|which does not fit]`,
        ];
        steps.push({
            sought, value: leader, from: (0, phrases_1.pick)(rng, [`the clue on ${x} and ${y}`, `${x} and ${y}`]), derive: derive(leader, loser), knowledge, check: check(leader, true),
            wrong: [{
                    value: loser, derive: derive(loser, leader), check: check(loser, false),
                    why: [
                        `I [turned|read] the clue on ${x} and ${y} [round|the wrong way]`,
                        `the clue [had|put] ${x} [before|in front of] ${y} and I [had|put] it the other way round`,
                        `${leader} [was|had to be] ${than} than ${loser}, not the other way round`,
                    ],
                }],
        });
    };
    add(above[lo], true, false);
    while (lo > 0 || hi < count - 1) {
        const top = lo > 0 && (hi === count - 1 || (0, phrases_1.chance)(rng, 0.5));
        if (top)
            add(above[--lo], false, true);
        else
            add(above[hi++], false, false);
    }
    return { text, given: `${above.length} clues on ${(0, phrases_1.list)((0, phrases_1.sample)(rng, order, count))}`, steps, answer: asks === "most" ? order[0] : order[count - 1], facts: { kind: "ordering", names: (0, phrases_1.sample)(rng, order, count), above, asks } };
}
function liar(rng) {
    for (;;) {
        const people = (0, phrases_1.sample)(rng, phrases_1.names, 3);
        const culprit = (0, phrases_1.pick)(rng, people);
        const says = people.map((by) => {
            const about = (0, phrases_1.pick)(rng, people.filter((n) => n !== by));
            return { by, about, lies: (about === culprit) === (by !== culprit) };
        });
        const facts = { kind: "liar", names: people, says };
        if (solve(facts) !== culprit)
            continue; // more than one could be the liar
        const quote = (s) => (0, phrases_1.expand)(rng, s.lies ? `${s.by} [says|claims] that ${s.about} lies` : `${s.by} [says|claims] that ${s.about} is honest`, {});
        const quotes = says.map(quote);
        const text = `${(0, phrases_1.expand)(rng, "[One of {a}, {b} and {c} lies, the other two are honest|Of {a}, {b} and {c} two are honest and one lies]", { a: people[0], b: people[1], c: people[2] })}. ${quotes.join(". ")}. ${(0, phrases_1.expand)(rng, "[Who lies|Who is the liar|Which one is the liar]?", {})}`;
        const broken = (w) => says.find((s) => (s.lies === (s.about === w)) !== (s.by !== w));
        const own = says.find((s) => s.by === culprit);
        const about = says.filter((s) => s.by !== culprit);
        const sought = "the liar";
        const derive = (v, reason) => [
            `so ${sought} [is|must be] ${v}, [as|since|because] ${reason}`,
            `${reason}, [so|hence] ${v} is the [liar|one who lies]`,
            `from that it follows that ${v} lies, [as|since] ${reason}`,
            `${reason}: that [makes|leaves] ${v} [as|for] ${sought}`,
            `hence ${v} is ${sought}, ${reason}`,
        ];
        const rightReason = `[what ${culprit} says of ${own.about} is false|the other two agree with it|${about[0].by} and ${about[1].by} are then honest]`;
        const wrong = people.filter((n) => n !== culprit).map((w) => {
            const b = broken(w);
            const accuser = says.find((s) => s.about === w && s.lies);
            const clash = b.by === w ? `what ${w} says of ${b.about} [is|would be] true` : `what ${b.by} says of ${b.about} [is|would be] false [too|as well]`;
            return {
                value: w,
                derive: derive(w, accuser ? `${accuser.by} says so` : `[the words of ${w} sound so|no one else stands out|${w} comes to mind first]`),
                check: [
                    `[put|try|take] ${w} [as the liar|in that place]: ${clash}, [a clash|which does not fit]`,
                    `if ${w} [is|were|was] ${sought}, then ${clash}, and that does not fit`,
                    `with ${w} as the liar ${clash}, [not|and not] as the text has it`,
                    `does ${w} fit: then ${clash}, so it does not`,
                ],
                why: [
                    b.by === w ? `${w} [would have told|told] the truth [about|on] ${b.about}` : `${b.by} [would have|had] lied [about ${b.about}|] as well`,
                    `with ${w} as the liar [the words of ${b.by}|what ${b.by} said] [did not fit|led nowhere]`,
                ],
            };
        });
        const step = {
            sought, value: culprit, from: (0, phrases_1.pick)(rng, ["the three claims", "what the three say", `the words of ${own.by}`]), derive: derive(culprit, rightReason), wrong,
            knowledge: [
                "what a liar [says|claims] is [false|not true]", "[in general,|as a rule,|] who calls a liar honest [lies as well|is not honest]",
                "only one [can be|is] false here, so the other two claims [must|have to] hold", "who is honest [says|tells] what is true, [whatever it is|in every case]",
                "if one calls another a liar, one of [the two|them] lies",
            ],
            check: [
                `[put|try|take] ${culprit} [as the liar|in that place]: ${about[0].by} and ${about[1].by} are honest, [no clash|nothing is off]`,
                `if ${culprit} [is|were|was] ${sought}, then what ${about[0].by} says of ${about[0].about} is true, [just|exactly] as it should be`,
                `with ${culprit} as the liar what ${culprit} says of ${own.about} is false, and that [fits|agrees]`,
                `does ${culprit} fit: the words of ${about[0].by} and ${about[1].by} hold, so it does`,
            ],
        };
        return { text, given: `what ${(0, phrases_1.list)(people)} say`, steps: [step], answer: culprit, facts };
    }
}
function elimination(rng) {
    const people = (0, phrases_1.sample)(rng, phrases_1.names, 3);
    const [verb, items, kind] = (0, phrases_1.pick)(rng, [
        ["has", ["cat", "dog", "fish", "bird", "horse"], "pet"], ["wears", ["red hat", "blue hat", "green hat", "white hat"], "hat"],
        ["plays", ["drum", "flute", "violin", "guitar"], "part"], ["eats", ["soup", "rice", "bread", "cake"], "meal"],
    ]);
    const [i0, i1, i2] = (0, phrases_1.sample)(rng, items, 3);
    const [a, b, c] = people;
    const no = verb === "has" ? "does not have" : verb === "wears" ? "does not wear" : verb === "plays" ? "does not play" : "does not eat";
    const clueHas = `${a} ${verb} the ${i0}`;
    const clueNot = `${b} ${no} the ${i2}`;
    const asksName = (0, phrases_1.chance)(rng, 0.4) ? b : c;
    const answer = asksName === b ? i1 : i2;
    const byItem = (0, phrases_1.chance)(rng, 0.35);
    const question = byItem ? `[Who ${verb} the ${answer}|Which of them ${verb} the ${answer}]?` : `[What is the ${kind} of ${asksName}|Which ${kind} goes to ${asksName}]?`;
    const text = (0, phrases_1.expand)(rng, `${(0, phrases_1.list)(people)} ${verb === "has" ? "[have|own]" : verb === "wears" ? "wear" : verb === "plays" ? "play" : "eat"} the ${(0, phrases_1.list)((0, phrases_1.sample)(rng, [i0, i1, i2], 3))}, one each. [${clueHas}. ${clueNot}.|${clueNot}. ${clueHas}.] ${question}`, {});
    const derive = (v, who, reason) => [
        `so the ${kind} of ${who} [is|must be] the ${v}, [as|since|because] ${reason}`,
        `${reason}, [so|hence] ${who} ${verb} the ${v}`,
        `${reason}: that leaves the ${v} [for|to] ${who}`,
        `from that it follows that ${who} ${verb} the ${v}, [as|since] ${reason}`,
        `hence the ${v} [goes|belongs] to ${who}, [as|since] ${reason}`,
    ];
    const test = (v, who, clash) => clash === null ? [
        `[put|try|take] the ${v} [with|for] ${who}: ${clueHas} and ${clueNot}, [no clash|nothing is off]`,
        `if ${who} ${verb} the ${v}, then both clues [hold|fit], [just|exactly] as it should be`,
        `with the ${v} for ${who} the text [reads|goes] ${clueNot}, and that [fits|agrees]`,
        `does the ${v} fit ${who}: both clues hold, so it does`,
    ] : [
        `[put|try|take] the ${v} [with|for] ${who}: but ${clash}, [a clash|which does not fit]`,
        `if ${who} ${verb} the ${v}, then [one clue breaks|a clue is broken], as ${clash}`,
        `with the ${v} for ${who} the text [reads|goes] ${clash}, and that does not fit`,
        `does the ${v} fit ${who}: ${clash}, so it does not`,
    ];
    const knowledge = [
        `one ${kind} [belongs|goes] to one [person|of them] only`, `[in general,|as a rule,|] what one has no other can have`,
        `[in general,|as a rule,|] when all but one are out, the last one [must|has to] be it`, `with three ${kind}s for three, each [gets|has] exactly one`,
        `a clue that [says|tells] what is not so [still|also] helps to rule out`,
    ];
    const wrongFor = (v, who, clash, why, reason) => ({ value: `the ${v}`, derive: derive(v, who, reason), check: test(v, who, clash), why });
    const steps = [
        {
            sought: (0, phrases_1.pick)(rng, [`the ${kind} of ${b}`, `${possessive(b)} ${kind}`]), value: `the ${i1}`, from: `the clue on ${b}`, knowledge, derive: derive(i1, b, `[${clueHas} and ${clueNot}|the ${i0} and the ${i2} are out|the ${i0} is with ${a} and ${clueNot}]`),
            check: test(i1, b, null),
            wrong: [
                wrongFor(i2, b, clueNot, [`I [overlooked|forgot|read over] the clue that ${clueNot}`, `the clue [had|took] the ${i2} away from ${b}`], `[${clueHas}|the ${i0} is out]`),
                wrongFor(i0, b, clueHas, [`the ${i0} [was|had been] with ${a} [already|before]`, `I [overlooked|forgot|read over] the clue that ${clueHas}`], `[${clueNot}|the ${i2} is out]`),
            ],
        },
        {
            sought: (0, phrases_1.pick)(rng, [`the ${kind} of ${c}`, `${possessive(c)} ${kind}`]), value: `the ${i2}`, from: `${a} and ${b}`, knowledge, derive: derive(i2, c, `[the ${i0} and the ${i1} are [with ${a} and ${b}|out]|${b} ${verb} the ${i1}|nothing else is left]`),
            check: test(i2, c, null),
            wrong: [
                wrongFor(i1, c, `${b} ${verb} the ${i1}`, [`the ${i1} [was|went] [with|to] ${b} [already|before]`, `I [overlooked|forgot] that ${b} ${verb} the ${i1}`], `[${clueHas}|the ${i0} is out]`),
                wrongFor(i0, c, clueHas, [`the ${i0} [was|had been] with ${a} [already|before]`, `I [overlooked|forgot|read over] the clue that ${clueHas}`], `[the ${i1} is out|${b} ${verb} the ${i1}]`),
            ],
        },
    ];
    const needed = asksName === b ? steps.slice(0, 1) : steps;
    return {
        text, given: `two clues on ${(0, phrases_1.list)(people)}`, steps: needed, answer: byItem ? asksName : answer,
        facts: { kind: "elimination", names: people, items: [i0, i1, i2], has: [a, i0], hasNot: [b, i2], asks: byItem ? answer : asksName },
    };
}
const makers = { arithmetic, shop, ages, units, parity, ordering, liar, elimination };
exports.kinds = Object.keys(makers);
/** A puzzle of a random kind, or of the kind named. */
function makePuzzle(rng, kind = (0, phrases_1.pick)(rng, exports.kinds)) {
    return makers[kind](rng);
}
//# sourceMappingURL=puzzles.js.map