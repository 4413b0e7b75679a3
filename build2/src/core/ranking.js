"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.ranking = ranking;
exports.auroc = auroc;
exports.averagePrecision = averagePrecision;
exports.bootstrap = bootstrap;
/**
 * Scores and labels → how well the one tells the other.
 *
 * AUROC = P(score of a positive > score of a negative) + ½ P(equal), exactly, from mid-ranks: (R⁺ − P(P + 1)/2) / (P·N),
 * R⁺ the sum of the positives' ranks.
 */
/**
 * Ranks → AUROC of several labels at once. Sentences with the same labels form a class; ranks are summed by class.
 * @param mask labels of each of the sentences that count
 */
function ranking(mask, labels) {
    const masks = [...new Set(mask)];
    const number = new Map(masks.map((m, c) => [m, c]));
    const classOf = Int32Array.from(mask, (m) => number.get(m));
    const size = new Float64Array(masks.length);
    for (const c of classOf)
        size[c]++;
    const n = mask.length;
    const members = Array.from({ length: labels }, (_, l) => masks.map((m) => (m >> l) & 1));
    const positives = members.map((member) => member.reduce((sum, is, c) => sum + is * size[c], 0));
    const rankSum = new Float64Array(masks.length);
    const within = new Float64Array(masks.length);
    /** AUROC of each label from rankSum; NaN where a label has no positives or no negatives. */
    const finish = (out) => {
        for (let l = 0; l < labels; l++) {
            let sum = 0;
            for (let c = 0; c < masks.length; c++)
                if (members[l][c])
                    sum += rankSum[c];
            const p = positives[l];
            out[l] = p && n - p ? (sum - (p * (p + 1)) / 2) / (p * (n - p)) : NaN;
        }
    };
    return {
        positives,
        classes: masks.length,
        classOf,
        /**
         * Scores that are zero but for `item[i]`, whose score is ≥ 0. Exact: ties have the mean of their ranks.
         * @param keys scratch of at least item.length
         */
        sparse(item, score, keys, out) {
            const bits = new Int32Array(score.buffer, score.byteOffset, score.length); // those of a positive float32 sort as it does
            let count = 0;
            for (let i = 0; i < item.length; i++)
                if (bits[i] > 0)
                    keys[count++] = bits[i] * 2 ** 22 + classOf[item[i]];
            const sorted = keys.subarray(0, count).sort();
            within.fill(0);
            for (let i = 0; i < count; i++)
                within[sorted[i] % 2 ** 22]++;
            const zeros = n - count;
            for (let c = 0; c < masks.length; c++)
                rankSum[c] = (size[c] - within[c]) * ((zeros + 1) / 2);
            for (let i = 0; i < count;) {
                const value = Math.floor(sorted[i] / 2 ** 22);
                let j = i + 1;
                while (j < count && Math.floor(sorted[j] / 2 ** 22) === value)
                    j++;
                const rank = zeros + (i + 1 + j) / 2;
                for (; i < j; i++)
                    rankSum[sorted[i] % 2 ** 22] += rank;
            }
            finish(out);
        },
        /**
         * Scores in `bins` equal steps between their least and largest, those of a step tied: for choosing among many dense
         * scores.
         */
        binned(score, bins, out) {
            const steps = bins.length / masks.length;
            let least = Infinity;
            let largest = -Infinity;
            for (let i = 0; i < n; i++) {
                const v = score[i];
                if (v < least)
                    least = v;
                if (v > largest)
                    largest = v;
            }
            bins.fill(0);
            const scale = largest > least ? (steps - 1e-3) / (largest - least) : 0;
            for (let i = 0; i < n; i++)
                bins[Math.floor((score[i] - least) * scale) * masks.length + classOf[i]]++;
            rankSum.fill(0);
            for (let s = 0, below = 0; s < steps; s++) {
                let here = 0;
                for (let c = 0; c < masks.length; c++)
                    here += bins[s * masks.length + c];
                if (!here)
                    continue;
                const rank = below + (here + 1) / 2;
                for (let c = 0; c < masks.length; c++)
                    rankSum[c] += bins[s * masks.length + c] * rank;
                below += here;
            }
            finish(out);
        },
        /** Presence of something: yes or no. @param present how many sentences of each class have it */
        presence(present, out) {
            let yes = 0;
            for (let c = 0; c < masks.length; c++)
                yes += present[c];
            const no = n - yes;
            for (let c = 0; c < masks.length; c++)
                rankSum[c] = present[c] * (no + (yes + 1) / 2) + (size[c] - present[c]) * ((no + 1) / 2);
            finish(out);
        },
    };
}
/** Indices by score, larger first, with the ends of its groups of equal scores. */
function groups(score) {
    const order = Int32Array.from({ length: score.length }, (_, i) => i).sort((a, b) => score[b] - score[a]);
    const ends = [];
    for (let i = 1; i <= order.length; i++)
        if (i === order.length || score[order[i]] !== score[order[i - 1]])
            ends.push(i);
    return { order, ends: Int32Array.from(ends) };
}
/** AUROC, ties counted half. NaN without positives or without negatives. @param positive 1 or 0 of each */
function auroc(score, positive) {
    return weightedAuroc(groups(score), positive);
}
function weightedAuroc({ order, ends }, positive, weight) {
    let pairs = 0;
    let above = 0; // positives with a larger score
    let negatives = 0;
    for (let g = 0, i = 0; g < ends.length; g++) {
        let p = 0;
        let q = 0;
        for (; i < ends[g]; i++) {
            const w = weight ? weight[order[i]] : 1;
            if (positive[order[i]])
                p += w;
            else
                q += w;
        }
        pairs += q * (above + p / 2);
        above += p;
        negatives += q;
    }
    return above && negatives ? pairs / (above * negatives) : NaN;
}
/**
 * Average precision Σ (R_g − R_{g−1})·P_g over the groups of equal scores, largest first (scikit-learn's definition). NaN
 * without positives.
 */
function averagePrecision(score, positive) {
    const { order, ends } = groups(score);
    let found = 0;
    let sum = 0;
    for (let g = 0, i = 0; g < ends.length; g++) {
        let p = 0;
        for (; i < ends[g]; i++)
            p += positive[order[i]] ? 1 : 0;
        found += p;
        sum += (p * found) / ends[g];
    }
    return found ? sum / found : NaN;
}
/**
 * Bootstrap over documents: sentences of one document go together.
 * @param scores of each detector on the same sentences
 * @returns for each detector the 2.5 % and 97.5 % quantiles of its AUROC, and of the first detector's lead over it
 */
function* bootstrap(scores, positive, document, rng, resamples = 400) {
    const names = [...new Set(document)];
    const number = new Map(names.map((d, i) => [d, i]));
    const of = Int32Array.from(document, (d) => number.get(d));
    const sorted = scores.map(groups);
    const values = scores.map(() => []);
    const leads = scores.map(() => []);
    const drawn = new Float64Array(names.length);
    const weight = new Float64Array(document.length);
    for (let b = 0; b < resamples; b++) {
        if (b % 4 === 3)
            yield;
        drawn.fill(0);
        for (let i = 0; i < names.length; i++)
            drawn[rng.below(names.length)]++;
        for (let i = 0; i < weight.length; i++)
            weight[i] = drawn[of[i]];
        const got = sorted.map((one) => weightedAuroc(one, positive, weight));
        if (Number.isNaN(got[0]))
            continue; // a draw without positives
        got.forEach((value, i) => {
            values[i].push(value);
            leads[i].push(got[0] - value);
        });
    }
    const quantile = (list, q) => list[Math.min(list.length - 1, Math.floor(q * list.length))] ?? NaN;
    const interval = (list) => {
        list.sort((a, b) => a - b);
        return [quantile(list, 0.025), quantile(list, 0.975)];
    };
    return values.map((list, i) => ({ interval: interval(list), lead: interval(leads[i]) }));
}
//# sourceMappingURL=ranking.js.map