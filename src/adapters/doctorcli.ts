import { parsePlan } from "../core/doctorplan";
import { OptionError } from "../core/errors";
import { doctor } from "./doctor";
import { DISPLAY } from "./show";
import { parsed } from "./harvestcli";

export const DOCTOR_USAGE = `  saelab doctor                       what works here, what does not, why, and what cures it; ends with 1 where notebooks, harvesting or training cannot run
      --quick                         without measuring speeds
      --plan latents=N d=N tokens=N   and k, batch, dtype, kind, device, step, parameters: what a training takes here, in memory, disk and hours; 1 where it does not fit
      --json                          the report as JSON
`;

/**
 * `saelab doctor`. The report goes to stdout, what is being done to a terminal's stderr.
 * @returns exit code: 1 where notebooks, harvesting or training could not run, or the plan does not fit
 * @throws OptionError
 */
export async function doctorCommand(args: string[]): Promise<number> {
  const { values, positionals } = parsed("doctor", args, { json: { type: "boolean" }, quick: { type: "boolean" }, plan: { type: "string" } });
  if (positionals.length && values.plan === undefined) throw new OptionError(`doctor: expected options only, found ${positionals.join(" ")}. A plan is given as --plan latents=65536 d=1536 tokens=100M.`);
  const tty = process.stderr.isTTY;
  const report = await doctor({
    quick: values.quick, ...(values.plan === undefined ? {} : { plan: parsePlan([values.plan, ...positionals]) }),
    progress: (doing) => void (tty && process.stderr.write(`\r\u001b[K${doing} …`)),
  });
  if (tty) process.stderr.write("\r\u001b[K");
  console.log(values.json ? JSON.stringify(report.json, null, 2) : String(report[DISPLAY]()["text/plain"]));
  return report.ok ? 0 : 1;
}
