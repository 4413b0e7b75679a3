import { test } from "node:test";
import { soak } from "./soak";

test("300 cells of all kinds: none lost, none wrong", { timeout: 300_000 }, async (t) => void (await soak(t, 300)));
