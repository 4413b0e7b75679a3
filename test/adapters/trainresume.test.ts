import { test } from "node:test";
import { killAndGoOn } from "../killing";

test("a training killed three times at random moments ends in the bits of one that was not", () => killAndGoOn(3, 1));
