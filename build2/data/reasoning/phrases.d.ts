/**
 * The wording of the traces. A phrase is a template: `[a|b|]` picks one alternative (they nest), `{slot}` is filled in.
 * The behaviours share their vocabulary on purpose (doubt words in plans, "back" in checks, "wait" everywhere), so that no
 * single word tells the behaviour, while two or three words together, or what comes before, do.
 */
/** Numbers in [0, 1), the same sequence for the same seed. */
export type Random = () => number;
export type Slots = Readonly<Record<string, string | number>>;
/**
 * mulberry32: state += 0x6D2B79F5; output = mix(state) / 2^32.
 * @param seed integer; it is scrambled first, so neighbouring seeds give unrelated sequences
 */
export declare function random(seed: number): Random;
/** One of `items`, each equally likely. */
export declare function pick<T>(rng: Random, items: readonly T[]): T;
/** Whole number in lo…hi, both included. */
export declare function between(rng: Random, lo: number, hi: number): number;
/** True with probability p. */
export declare function chance(rng: Random, p: number): boolean;
/** `count` different items in random order. */
export declare function sample<T>(rng: Random, items: readonly T[], count: number): T[];
/**
 * Fills the slots of a template and picks its alternatives, innermost first.
 * @throws RangeError if a slot has no value
 */
export declare function expand(rng: Random, template: string, slots: Slots): string;
/** "3, 4 and 5". */
export declare function list(items: readonly (string | number)[]): string;
export declare const names: readonly ["Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jack", "Kim", "Leo", "Mia", "Nora", "Omar", "Pia", "Rosa", "Sam", "Tara", "Uma", "Vic", "Wanda", "Yara", "Zoë", "José", "Björn", "Lucía", "Amir", "Chen", "Devi", "Emil", "Hana"];
export declare const things: readonly ["apples", "books", "coins", "cards", "eggs", "marbles", "pens", "stamps", "shells", "beads", "cups", "plums", "stones", "buttons", "tickets", "nuts"];
/** What may open any sentence, whatever it does. */
export declare const openers: readonly ["okay,", "now,", "well,", "so,", "hmm,", "wait,", "right,", "good,", "actually,", "then,", "let me see:", "still,", "look,"];
/** What a step seeks is set up: the goal, the numbers, the plan. Slots: q (sought), given, next (a later goal). */
export declare const initializing: {
    readonly start: readonly ["the [question|puzzle|task|text] [asks for|wants|is about|is after] {q}, [and|with] {given} [is|as] [what I have|what we have|the material]", "what [I need|we need|counts] [here|in the end] is {q}, [and not more|nothing else], [going by|from] {given}", "I [have|want|need] to [find|get|work out] {q} [here|this time|] from {given}", "{q} is [what has to be found|still open|not known yet], while {given} [is|stands] in the text", "I [read|took|see] {given} in the text, [and|while] {q} is [missing|not there|to be found]", "how do I [get|go] from {given} to {q}?", "[could|can] {given} be [enough|all that is needed] for {q}?", "[perhaps|maybe] [it is best to|I should] [begin|start] with {q}, [as|since] {given} is [known|given]", "let me [go|read] through the text again: {given} is [there|given] and {q} is [asked|sought|wanted]", "[the plan is|I plan] to [take|use] {given} [step by step|one by one] until {q} [is clear|stands there|comes out]", "[we are told|the text gives|I was given] {given}, so {q} [should|might|must] [be within reach|come out of that]", "[before anything else|first of all|to begin], {given}: that is [what was given|all I have] for {q}"];
    readonly next: readonly ["[next|now] [comes|there is] {q}, [which is|and that is] still [open|missing|to be found]", "[the second part|what is left|the rest] is {q}, [starting|going on] from {old}", "I [still|also] need {q}, [with|and] {old} [in hand|is known] [now|by now]", "{old} is [known|settled|there], [and|but] {q} is not [yet|so far]", "how [is|do I get] {q} [found|] from {old}?", "[maybe|perhaps|then] {q} [is the next thing|should come next], [as|since] {old} is [done|there]", "the [text|question] [wants|needs] more than {old}: it [asks|is after] {q}", "let me [turn|go on] to {q} [now|then], [from|with] {old}"];
};
/** Doubt about the value v of q, before anything has been checked. */
export declare const uncertainty: readonly ["I am [not|less than] [sure|certain] [that|whether] {q} is [really|] {v}", "{v} [looks|seems|feels|sounds] [a bit|rather|somewhat] [large|small|odd|strange|far off] [for|as] {q}", "[could|can|might] {q} [really|] be {v}?", "is {v} [right|what the text wants|really {q}], [or another value|or is it not]?", "{v} [might|may|could] be [off|wrong], [or it may be right|I cannot rule it out|it is hard to say]", "[perhaps|maybe|possibly] {q} is [not {v}|another value] [after all|in the end]", "whether {v} [holds|is right|stands] I [cannot tell|do not know|could not say] [yet|so far]", "it is hard to [say|tell|see] [if|whether] {v} [is right|holds|can stand]", "my trust in {v} is [low|not high|limited], [it came quickly|it was a quick step|so far at least]", "there is [some|a little] doubt [about|left about] {v} [as|being] {q}", "I would not [bet|count|build] on {v} [yet|so far|just now]", "{v} [is|remains|was] [no more than|only] a guess [so far|until it is tested|at this point]", "I may have [made a mistake|gone wrong|misread the text] [with|at] {v}", "something about {v} [makes me|leaves me|lets me] [doubt|wonder], [for|if it is] {q}"];
/** A step that was wrong is given up. Slots: w (its value), q, why (a clause in the past), back (where to go on from). */
export declare const backtracking: readonly ["no, {w} [cannot stand|is out|does not stand]: {why}", "{why}, so {w} [falls away|has to go|is given up|does not count]", "{why}, [so|and so] I [drop|leave|give up] {w} and [return|go back] to {back}", "I [take back|withdraw|undo|cancel] {w}, [since|because|as] {why}", "[that|the last] step [goes|has to go], {why}, [so I do it again|so it is done anew] from {back}", "[scrap|forget|strike|leave] {w}, [as|since|for] {why}", "[I see|I find|it shows] [now|] that {why}, [which spoils {w}|and {w} is of no use]", "{w} [came out|was there] [only|] because {why}, so [back to|again from] {back}", "my [mistake|fault|slip]: {why}, and {q} has to be [found|worked out|done] [again|anew]", "[let me|I will|I have to] [return|go back|step back] to {back}, [since|as|because] {why}", "[but|oh,|sorry,] {why}, [and {w} is replaced|so {w} was a wrong turn|so {w} was false]", "not {w} [then|after all], {why}, so [another value|something else] has to [come|take its place]", "{back} is where I [pick up|go on] again, [as|since|because] {why}"];
/** Opens a step that is done again. */
export declare const redo: readonly ["this time", "done again,", "once more:", "anew:", "with that put right,", "without the slip,", "from there,", "corrected,"];
/** Opens the check of a value that was doubted. */
export declare const toBeSure: readonly ["to be sure,", "for certainty,", "that can be seen:", "just to decide it,", "making sure,", "there is a way to tell:", "it can be tested:"];
/** The answer is drawn from what was found. Slots: q, v. */
export declare const concluding: readonly ["[so|hence|thus] the answer [is|must be|has to be] {v}", "that [settles it|is it|does it]: {q} is {v}", "all in all, {q} [is|comes out as|has to be] {v}", "[with that|so] the [question|puzzle|text] is answered [by|with] {v}", "{v} [is|must be] what the [question|text|puzzle] [asks for|wants|is after]", "[it follows|this means|that means] that {q} is {v}"];
