import { OptionError } from "../core/errors";
import { typeOfValues, type TypedColumn } from "../core/tablefile";
import { tableFigure } from "../core/tableplot";
import { plotted } from "./plots";
import type { Shown } from "./show";
import type { DataFrame } from "./table";

export interface TablePlotOptions {
  x: string;
  y?: string; // none: how many rows there are
  color?: string; // none: a column of numbers or of texts
  log?: boolean | { x?: boolean; y?: boolean }; // false: linear axes; true: both logarithmic, what is not above 0 left out
}

const NAMING = ["latent", "label", "verdict", "tokens"]; // columns that say what a row is

/**
 * A plot of a DataFrame's columns: points of two numbers; a histogram of one; bars of a text, how many rows have it or the mean of `y` over them. danfojs' own
 * plots need a browser.
 * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence
 * @throws OptionError for a column that is not there, no numbers where they are needed, or no row with them
 */
export function tablePlot(table: DataFrame, { x, y, color, log = false }: TablePlotOptions): Shown {
  const column = (name: string): TypedColumn => {
    if (!table.columns.includes(name)) throw new OptionError(`tablePlot: expected one of the columns ${table.columns.join(", ")}, found ${JSON.stringify(name)}.`);
    const at = table.columns.indexOf(name);
    const values = (table.values as TypedColumn["values"][]).map((row) => row[at]);
    return { name, type: typeOfValues(values), values };
  };
  const wanted = {
    x: column(x), ...(y === undefined ? {} : { y: column(y) }), ...(color === undefined ? {} : { color: column(color) }), hover: NAMING.filter((name) => table.columns.includes(name)).map(column),
    log: typeof log === "boolean" ? { x: log, y: log } : { x: log.x ?? false, y: log.y ?? false },
  };
  if (wanted.y?.type === "text") throw new OptionError(`tablePlot: y: expected a column of numbers, found the texts of ${JSON.stringify(y)}. Texts go on x.`);
  try {
    return plotted(tableFigure(wanted));
  } catch (error) {
    throw error instanceof RangeError ? new OptionError(`tablePlot: ${error.message}${log ? " above 0" : ""}.`) : error;
  }
}
