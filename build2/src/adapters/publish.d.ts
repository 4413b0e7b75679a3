export interface PublishOptions {
    /** Values for the cell tagged `parameters`, as TypeScript expressions. */
    parameters?: Record<string, string>;
    /** Also keep the executed notebook here. */
    notebook?: string;
    /** Open the page where there is a desktop. */
    open?: boolean;
}
/**
 * Executes a notebook in a fresh kernel and writes one HTML file: no script, no network reference, light and dark.
 * Stops at the first error, names the cell and writes nothing.
 * @returns path of the page
 * @throws EngineError when the Python side of the set-up is missing or a cell fails
 */
export declare function publish(notebook: string, out: string, options?: PublishOptions): Promise<string>;
