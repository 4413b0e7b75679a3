import { Widget } from "@lumino/widgets";

/** What a front end hands to a renderer: an output's content by MIME type, and its metadata. */
export interface MimeModel {
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
  setData(options: { data?: Record<string, unknown>; metadata?: Record<string, unknown> }): void;
}

/** What a view may ask of the front end. */
export interface Host {
  widget: Widget;
  /** The output as it is now. */
  model(): MimeModel;
  mimeType: string;
}

/** A view that is drawn. */
export interface Drawn {
  /** The same output came again, perhaps with other metadata: whether there is nothing to draw anew. */
  keeps?(content: unknown): boolean;
  /** It has a size again, after it was out of sight or was made larger or smaller. */
  resized?(): void;
  dispose?(): void;
}

/** Draws content into an element. */
export type Draw = (node: HTMLElement, content: never, host: Host) => Drawn | void | Promise<Drawn | void>;

class Renderer extends Widget {
  private drawn: Drawn | undefined;
  private model: MimeModel | undefined;
  private readonly sizes = new ResizeObserver(() => this.node.isConnected && this.drawn?.resized?.());

  constructor(private readonly mimeType: string, private readonly draw: Draw) {
    super();
    this.addClass("saelab-output");
    this.sizes.observe(this.node);
  }

  /** Called by the front end, also when only the metadata changed. */
  async renderModel(model: MimeModel): Promise<void> {
    this.model = model;
    const content = model.data[this.mimeType];
    if (this.drawn?.keeps?.(content)) return;
    this.drawn?.dispose?.();
    this.drawn = undefined;
    style();
    try {
      const host = { widget: this, mimeType: this.mimeType, model: () => this.model! };
      this.drawn = (await this.draw(this.node, content as never, host)) ?? undefined;
      if (this.isDisposed) this.drawn?.dispose?.();
    } catch (error) {
      const told = document.createElement("p");
      told.className = "saelab-error";
      told.textContent = `saelab cannot show this output: ${error instanceof Error ? error.message : String(error)}`;
      this.node.replaceChildren(told);
    }
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.sizes.disconnect();
    this.drawn?.dispose?.();
    super.dispose();
  }
}

/** A renderer that the front end trusts with outputs of untrusted notebooks: what comes from them is text, never markup or script. */
export const renderer = (name: string, mimeType: string, draw: Draw): object => ({
  id: `saelab:${name}`,
  rank: 40, // before text/html, which has 50
  dataType: "json",
  rendererFactory: { safe: true, mimeTypes: [mimeType], createRenderer: () => new Renderer(mimeType, draw) },
});

/** Where a view says what is under the pointer, and what came of a key. */
export const STATUS = '<div class="saelab-status"><span role="status"></span></div>';

let sheet = "";
/** The style sheet of all views; it enters the page with the first output. */
export const styled = (css: string): void => void (sheet = css);

function style(): void {
  const id = "saelab-style";
  if (document.getElementById(id)) return;
  document.head.append(Object.assign(document.createElement("style"), { id, textContent: sheet }));
}
