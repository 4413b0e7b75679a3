import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { writeKernel } from "../../src/adapters/kernelspec";
import { installExtension } from "../../src/adapters/labextension";
import { bin, requireTestPackages } from "../python";

/** One Jupyter server that serves JupyterLab and Notebook 7, with this build's extension and kernel in a scratch folder, and a headless Chromium. */
export interface Lab {
  /** Folder of the notebooks. */
  work: string;
  kernel: string;
  url: string;
  browser: Browser;
  /** Writes a notebook into `work`; its cells show these outputs already, as one that somebody else has run. */
  write(name: string, outputs: Output[], jupyter?: object): void;
  read(name: string): { cells: { outputs: Output[] }[] };
  /** Opens a notebook and waits until it is drawn; `errors` are those that our extension did not catch. */
  open(name: string, options?: { app?: "lab" | "notebook"; theme?: string; width?: number; height?: number; reducedMotion?: "reduce"; windowing?: "none" | "full" }): Promise<Page & { errors: string[] }>;
  close(): Promise<void>;
}

export interface Output {
  data: Record<string, unknown>;
  metadata?: Record<string, unknown>;
}

const LIMIT = 60_000; // ms: far above what a start takes on two busy cores
const TOKEN = "of-the-test";

export async function startLab(): Promise<Lab> {
  requireTestPackages();
  const scratch = mkdtempSync(join(tmpdir(), "saelab-lab-"));
  const work = join(scratch, "work");
  const kernel = "saelab-test";
  mkdirSync(work);
  writeKernel(join(scratch, "kernels", kernel));
  if (!installExtension(scratch)) throw new Error("kernel-ext/lab/labextension: expected the built extension, found none. Run: node kernel-ext/setup.mjs");
  mkdirSync(join(scratch, "settings"));
  const env = {
    ...process.env,
    JUPYTER_PATH: scratch,
    JUPYTER_DATA_DIR: join(scratch, "data"), // trust, and what else a user's own folder keeps
    JUPYTER_RUNTIME_DIR: join(scratch, "runtime"),
    JUPYTER_CONFIG_DIR: join(scratch, "config"),
    JUPYTER_PREFER_ENV_PATH: "0",
    JUPYTERLAB_SETTINGS_DIR: join(scratch, "settings"),
    JUPYTERLAB_WORKSPACES_DIR: join(scratch, "workspaces"),
    PYTHONWARNINGS: "ignore",
  };
  const setting = (plugin: string, values: object): void => {
    const [scope, rest] = plugin.split(":");
    const folder = join(scratch, "settings", ...scope.split("/"));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${rest}.jupyterlab-settings`), JSON.stringify(values));
  };
  setting("@jupyterlab/apputils-extension:notification", { checkForUpdates: false, fetchNews: "false", doNotDisturbMode: true });

  const server = spawn(bin("jupyter"), ["notebook", "--no-browser", "--allow-root", "--ServerApp.port=0", `--IdentityProvider.token=${TOKEN}`, `--ServerApp.root_dir=${work}`,
    "--ServerApp.disable_check_xsrf=True", "--LabApp.news_url=", "--LabServerApp.blocked_extensions_uris="], { env, cwd: work, stdio: ["ignore", "pipe", "pipe"] });
  const url = await listening(server);
  // The packages' own downloads come with npm: nothing of the machine is needed.
  const { default: bundled } = (await import("@sparticuz/chromium")) as { default: { args: string[]; executablePath(): Promise<string> } };
  const { chromium } = await import("playwright-core");
  const args = bundled.args.filter((arg) => !/^--(single-process|no-zygote|headless)/.test(arg)); // a second page hangs in a single process
  const browser = await chromium.launch({ executablePath: await bundled.executablePath(), args, headless: true });

  return {
    work, kernel, url, browser,
    write(name, outputs, jupyter = {}) {
      const cells = outputs.map(({ data, metadata = {} }, i) => ({
        cell_type: "code", id: `c${i}`, source: `// ${i}`, execution_count: i + 1, metadata: { jupyter }, outputs: [{ output_type: "display_data", data, metadata }],
      }));
      const kernelspec = { name: kernel, display_name: kernel, language: "typescript" };
      writeFileSync(join(work, name), JSON.stringify({ cells, metadata: { kernelspec, language_info: { name: "typescript" } }, nbformat: 4, nbformat_minor: 5 }));
    },
    read: (name) => whole(join(work, name)) as { cells: { outputs: Output[] }[] },
    async open(name, { app = "lab", theme, width = 1200, height = 900, reducedMotion, windowing = "none" } = {}) {
      setting("@jupyterlab/apputils-extension:themes", theme ? { theme } : {});
      setting("@jupyterlab/notebook-extension:tracker", { windowingMode: windowing });
      const page = Object.assign(await browser.newPage({ viewport: { width, height }, reducedMotion }), { errors: [] as string[] });
      page.setDefaultTimeout(LIMIT / 2);
      page.on("pageerror", ({ message, stack }) => /\/extensions\/saelab\//.test(stack ?? "") && page.errors.push(message));
      await page.goto(app === "lab" ? `${url}/doc/tree/${name}?reset&token=${TOKEN}` : `${url}/notebooks/${name}?token=${TOKEN}`);
      await page.waitForSelector(".jp-Notebook .jp-Cell");
      return page;
    },
    async close() {
      await browser.close();
      server.kill("SIGTERM");
      await new Promise((done) => (server.exitCode === null ? server.once("exit", done) : done(undefined)));
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function listening(server: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    let said = "";
    const clock = setTimeout(() => fail(new Error(`jupyter notebook: expected an address within ${LIMIT / 1000} s, found:\n${said}`)), LIMIT);
    for (const stream of [server.stdout!, server.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        const [, port] = /http:\/\/(?:localhost|127\.0\.0\.1):(\d+)\//.exec(said) ?? [];
        if (!port) return;
        clearTimeout(clock);
        done(`http://127.0.0.1:${port}`);
      });
    }
    server.once("exit", (code) => fail(new Error(`jupyter notebook: expected a server, found it ended with code ${code}:\n${said}`)));
  });
}

/** A notebook that Jupyter may just be writing: it is empty or cut short then, and is read again. */
function whole(file: string, tries = 40): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError) || tries === 0) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50); // the server is another process: it writes meanwhile
    return whole(file, tries - 1);
  }
}
