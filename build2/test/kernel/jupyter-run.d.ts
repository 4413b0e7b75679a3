/** `work` is the folder that programs run in. */
export declare const jupyter: {
    kernel: string;
    env: {
        JUPYTER_PATH: string;
        JUPYTER_RUNTIME_DIR: string;
        JUPYTER_CONFIG_DIR: string;
        JUPYTER_PREFER_ENV_PATH: string;
        IPYTHONDIR: string;
        PYTHONWARNINGS: string;
        NO_COLOR: string;
    };
    work: string;
};
export interface Ended {
    code: number;
    stdout: string;
    stderr: string;
}
/** Runs a program of the virtual environment to its end. */
export declare const program: (name: string, args: string[], input?: string) => Promise<Ended>;
/** Runs a script of this folder; its output. */
export declare function python(script: string, args: string[], input?: string): Promise<string>;
