import { Widget } from "@lumino/widgets";

/** What a front end hands to a renderer: an output's content by MIME type, and its metadata. */
export interface MimeModel {
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
  setData(options: { data?: Record<string, unknown>; metadata?: Record<string, unknown> }): void;
}

/** Shows one kind of content in an element, and again when it changed. */
export type Show = (node: HTMLElement, content: unknown, host: Host) => void | Promise<void>;

/** What a view asks of the front end. */
export interface Host {
  widget: Widget;
  model: MimeModel;
}

export class Renderer extends Widget {
  constructor(private readonly mimeType: string, private readonly show: Show) {
    super();
    this.addClass("saelab-output");
  }

  /** Called by the front end, also when only the metadata changed. */
  async renderModel(model: MimeModel): Promise<void> {
    await this.show(this.node, model.data[this.mimeType], { widget: this, model });
  }
}

export const factory = (name: string, mimeType: string, show: Show): object => ({
  id: `saelab:${name}`,
  rank: 40, // before text/html, which has 50
  dataType: "json",
  rendererFactory: { safe: true, mimeTypes: [mimeType], createRenderer: () => new Renderer(mimeType, show) },
});
