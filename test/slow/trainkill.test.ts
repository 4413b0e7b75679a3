import { test } from "node:test";
import { killAndGoOn } from "../killing";

test("trainings killed twenty times at random moments end in the bits of one that was not", () => killAndGoOn(20, 2, { steps: 3000, span: 1500 }));
