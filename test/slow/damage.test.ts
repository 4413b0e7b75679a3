import { test } from "node:test";
import { damageConfigurations, damageContainers } from "../damage";

test("10,000 damaged archives, pickles and headers", () => damageContainers(10_000));
test("10,000 damaged configurations", () => damageConfigurations(10_000));
