/**
 * What preflight reads when it is given nothing: plain prose, sums and reasoning aloud, written for this purpose. Some 1,000 tokens of a large vocabulary:
 * enough to tell places apart by FVU, too few to tell rare latents from dead ones.
 */
export const PREFLIGHT_TEXTS = [
  "The harbour lies at the mouth of a slow river, and for most of the year its water is the colour of tea. Fishing boats leave before light and return " +
  "about noon; the market opens when the first of them has tied up. In the old warehouse behind the market somebody has set up a small museum. It keeps " +
  "nets, a broken compass, letters from sailors who went to Chile, and a photograph of the flood of 1953, in which a man rows past the window of the post " +
  "office as if nothing were the matter. Children like the compass best, because its needle still turns, although it no longer knows where north is.",

  "A farmer sells eggs in boxes of twelve. On Monday she fills 17 boxes and has 5 eggs left over; on Tuesday her hens lay 38 fewer eggs than on Monday. " +
  "How many full boxes can she fill on Tuesday? First, find Monday's eggs: 17 × 12 = 204, and 204 + 5 = 209. Then Tuesday's: 209 − 38 = 171. Now divide: " +
  "171 / 12 = 14.25, so she fills 14 boxes and keeps 3 eggs. Wait, let me check that: 14 × 12 = 168, and 171 − 168 = 3. Yes, that is right. The answer is 14.",

  "Suppose that the sum of two odd numbers were odd. Write them as 2a + 1 and 2b + 1, where a and b are whole numbers. Their sum is 2a + 2b + 2 = 2(a + b + 1), " +
  "which is even. Hmm, so the assumption cannot hold. Alternatively, think of pairs: an odd number of stones leaves one without a partner, and two lonely " +
  "stones make a pair. Therefore the sum of two odd numbers is always even. But what about three of them? By the same argument one stone is left, so it is odd.",

  "When sunlight enters a drop of rain it bends, is thrown back from the far side, and bends once more on its way out. Red light bends a little less than " +
  "blue, so each colour leaves at an angle of its own, about 42 degrees for red and 40 for violet. Every drop sends out all the colours, but only one of them " +
  "reaches your eye; the drop above it supplies another. This is why no two people ever see quite the same rainbow, and why you cannot walk to its end.",

  "To sort a list, a program may compare neighbours and swap those that are out of order, again and again, until nothing is left to swap. That is easy to " +
  "explain and slow to run: for n entries it may need n(n − 1)/2 comparisons. For n = 1000 these are 499,500. A better way is to cut the list in half, sort " +
  "both halves, and merge them.\n\nfunction merge(a, b) {\n  const out = [];\n  while (a.length && b.length) out.push(a[0] <= b[0] ? a.shift() : b.shift());\n" +
  "  return out.concat(a, b);\n}\n\nEach level of cutting costs about n steps, and there are about log n levels.",

  "\"You are late,\" said the clerk without looking up. \"The train to the coast went at ten past four.\" Maria put down her suitcase. She had been told half " +
  "past, she was sure of it; perhaps the timetable had changed with the season. \"When is the next one?\" she asked. \"Tomorrow at seven, unless it snows.\" He " +
  "turned a page. \"There is a room above the bakery. Tell them that Anton sent you, and ask for the one that does not face the church: its bells are loud, " +
  "and they are never right.\" She thanked him, more politely than she felt, and went out into the rain.",

  "A train leaves at 9:40 and travels 150 kilometres at 60 kilometres an hour. How long does it take? Time is distance divided by speed: 150 / 60 = 2.5 hours, " +
  "that is 2 hours and 30 minutes. So it arrives at 12:10. If it had stopped for a quarter of an hour, it would have arrived at 12:25. Let me see what average " +
  "speed that would mean: 150 kilometres in 2.75 hours are about 54.5 kilometres an hour.",
];
