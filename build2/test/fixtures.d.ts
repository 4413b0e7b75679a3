/**
 * A folder with more models and SAEs than test/oracle holds, made by the same makers: `SAELAB_FIXTURES`, by default ../shared/fixtures
 * beside the package. A test that needs a file of it is registered only where the file is; test/run says so when the folder is absent.
 */
export declare const FIXTURES: string;
/** The first of these paths that exists. */
export declare const found: (...paths: string[]) => string | undefined;
