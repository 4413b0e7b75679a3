/** Package name → its folder. */
export type Packages = Map<string, string>;
/** The folder node_modules/<name> nearest to `from`, as Node looks for it. */
export declare function findPackage(name: string, from: string): string | undefined;
/** The package a specifier names: "@a/b/c" → "@a/b"; undefined for paths. */
export declare const packageName: (specifier: string) => string | undefined;
/**
 * What the kernel lends a notebook: this package and the packages it depends on, as far as the notebook's own folder and those above
 * have none of that name. So `import … from "saelab"` means the packed install next to the notebook if there is one, and this
 * package otherwise; and TensorFlow, danfojs, plotly and transformers are the library's own instances.
 * @param root the notebook's folder
 * @param packageRoot this package's folder
 */
export declare function lentPackages({ root, packageRoot }: {
    root: string;
    packageRoot: string;
}): Packages;
/** TypeScript's `paths` for the lent packages; types kept apart in @types are found beside them. */
export declare function typePaths(lent: Packages): Record<string, string[]>;
/**
 * Lets require() find the lent packages where it finds none itself. Node offers no other place for this that works from Node 20 on
 * and also serves the .ts and .js files a notebook imports.
 * @returns function that takes the loan back
 */
export declare function lendPackages(lent: Packages): () => void;
