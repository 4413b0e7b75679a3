/** As much of @lumino/widgets as is used here; the front end brings the package. */
declare module "@lumino/widgets" {
  export class Widget {
    constructor();
    readonly node: HTMLElement;
    readonly parent: Widget | null;
    readonly isDisposed: boolean;
    addClass(name: string): void;
    dispose(): void;
    protected onAfterAttach(message: unknown): void;
    protected onBeforeDetach(message: unknown): void;
    protected onResize(message: unknown): void;
  }
}
