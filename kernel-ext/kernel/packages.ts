import { existsSync, readFileSync } from "node:fs";
import Module from "node:module";
import { dirname, join } from "node:path";

/** Package name → its folder. */
export type Packages = Map<string, string>;

/** The folder node_modules/<name> nearest to `from`, as Node looks for it. */
export function findPackage(name: string, from: string): string | undefined {
  for (let dir = from; ; dir = dirname(dir)) {
    const found = join(dir, "node_modules", name);
    if (existsSync(join(found, "package.json"))) return found;
    if (dirname(dir) === dir) return undefined;
  }
}

/** The package a specifier names: "@a/b/c" → "@a/b"; undefined for paths. */
export const packageName = (specifier: string): string | undefined => /^(@[^/]+\/)?[^./][^/]*/.exec(specifier)?.[0];

/**
 * What the kernel lends a notebook: this package and the packages it depends on, as far as the notebook's own folder and those above
 * have none of that name. So `import … from "saelab"` means the packed install next to the notebook if there is one, and this
 * package otherwise; and TensorFlow, danfojs, plotly and transformers are the library's own instances.
 * @param root the notebook's folder
 * @param packageRoot this package's folder
 */
export function lentPackages({ root, packageRoot }: { root: string; packageRoot: string }): Packages {
  const { name, dependencies = {} } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as
    { name: string; dependencies?: Record<string, string> };
  const lent: Packages = new Map();
  if (!findPackage(name, root)) lent.set(name, packageRoot);
  for (const dependency of Object.keys(dependencies)) {
    const dir = findPackage(dependency, root) ? undefined : findPackage(dependency, packageRoot);
    if (dir) lent.set(dependency, dir);
  }
  return lent;
}

/** TypeScript's `paths` for the lent packages; types kept apart in @types are found beside them. */
export function typePaths(lent: Packages): Record<string, string[]> {
  const paths: Record<string, string[]> = {};
  for (const [name, dir] of lent) {
    const types = findPackage(`@types/${name.replace(/^@(.*)\/(.*)$/, "$1__$2")}`, dir);
    const places = types ? [dir, types] : [dir];
    paths[name] = places;
    paths[`${name}/*`] = places.map((place) => `${place}/*`);
  }
  return paths;
}

type Resolve = (request: string, parent: unknown, isMain?: boolean, options?: { paths?: string[] }) => string;

/**
 * Lets require() find the lent packages where it finds none itself. Node offers no other place for this that works from Node 20 on
 * and also serves the .ts and .js files a notebook imports.
 * @returns function that takes the loan back
 */
export function lendPackages(lent: Packages): () => void {
  const loader = Module as unknown as { _resolveFilename: Resolve };
  const ordinary = loader._resolveFilename;
  loader._resolveFilename = function (request, parent, isMain, options) {
    try {
      return ordinary.call(this, request, parent, isMain, options);
    } catch (error) {
      const name = packageName(request);
      const dir = name && lent.get(name);
      if (!dir || (error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
      const inside = request.slice(name.length);
      // From within the folder that holds it the package is found by name, "exports" included; this package may lie in a folder of
      // any name, and is found by its path.
      return dir.endsWith(join("node_modules", name))
        ? ordinary.call(this, request, parent, isMain, { paths: [dir.slice(0, -join("node_modules", name).length)] })
        : ordinary.call(this, dir + inside, parent, isMain);
    }
  };
  return () => {
    loader._resolveFilename = ordinary;
  };
}
