/** Looks of the views: JupyterLab's own variables, so that every theme fits; what shades mean is also said by weight and line. */
export const STYLE = `
.saelab-output { color: var(--jp-content-font-color1); font-size: var(--jp-content-font-size1, 13px); padding: 4px 0; }
.saelab-output section { content-visibility: auto; contain-intrinsic-size: auto 300px; }
.saelab-error { color: var(--jp-error-color1); }
.saelab-copy { float: right; }
.saelab-output button, .saelab-output select, .saelab-output input, .saelab-output textarea {
  font: inherit; color: inherit; background: var(--jp-layout-color1); border: 1px solid var(--jp-border-color1); border-radius: 3px; padding: 2px 6px; }
.saelab-output button { cursor: pointer; }
.saelab-output button:hover { background: var(--jp-layout-color2); }
.saelab-output button[aria-pressed=true] { background: var(--jp-layout-color3); font-weight: 600; }
.saelab-output :focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: -2px; }
.saelab-output kbd { font-family: var(--jp-code-font-family); background: var(--jp-layout-color2); color: inherit; border: 0; border-radius: 3px; padding: 0 4px; }
.saelab-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.saelab-browser { border: 1px solid var(--jp-border-color2); border-radius: 4px; line-height: 1.5; }
.saelab-tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; padding: 6px 8px; border-bottom: 1px solid var(--jp-border-color2); }
.saelab-tools .saelab-search { flex: 1 1 16em; min-width: 8em; }
.saelab-tools ::placeholder, .saelab-note ::placeholder { color: inherit; opacity: 0.7; }
.saelab-by { display: flex; gap: 6px; align-items: center; }
.saelab-by select { max-width: 16em; }
.saelab-helped { display: flex; flex-wrap: wrap; gap: 0 3em; padding: 6px 8px; border-bottom: 1px solid var(--jp-border-color2); font-size: 12px; }
.saelab-helped[hidden] { display: none; }
.saelab-output .saelab-helped ul { list-style: none; margin: 0; padding: 0; columns: auto; }
.saelab-helped li { margin: 2px 0; }
.saelab-helped kbd { display: inline-block; min-width: 3em; text-align: center; margin-right: 4px; }
.saelab-helped ul + ul kbd { min-width: 10em; text-align: left; }
.saelab-legend { display: flex; flex-wrap: wrap; gap: 0 1.1em; padding: 4px 8px; font-size: 12px; border-bottom: 1px solid var(--jp-border-color2); }
.saelab-list { height: 540px; min-height: 120px; max-height: 90vh; overflow: auto; resize: vertical; overflow-anchor: none; position: relative; }
.saelab-feed { position: relative; contain: layout style; }
.saelab-feature { position: absolute; left: 0; right: 0; box-sizing: border-box; height: 54px; overflow: hidden; padding: 5px 8px 0; border-bottom: 1px solid var(--jp-border-color3, var(--jp-border-color2)); contain: content; cursor: pointer; }
.saelab-feature:hover { background: var(--jp-layout-color2); }
.saelab-feature.saelab-opened { height: auto; padding-bottom: 10px; cursor: auto; }
.saelab-feature.saelab-opened:hover { background: none; }
.saelab-feature:focus-within { box-shadow: inset 3px 0 0 var(--jp-brand-color1); }
.saelab-row { display: flex; gap: 8px; align-items: baseline; height: 22px; white-space: nowrap; }
.saelab-output .saelab-row button { border: 0; background: none; padding: 0 2px; }
.saelab-output .saelab-row .saelab-open { font-weight: 700; min-width: 5em; text-align: left; }
.saelab-output .saelab-row .saelab-pin[aria-pressed=true] { color: var(--jp-warn-color0, inherit); }
.saelab-words { flex: 1 1 0; min-width: 0; overflow: hidden; text-overflow: ellipsis; }
.saelab-said::before { content: "✎ "; }
.saelab-figures { flex: none; display: flex; gap: 1.1em; align-items: baseline; font-variant-numeric: tabular-nums; }
.saelab-bars { width: 75px; text-align: right; }
.saelab-badge { border: 1px solid var(--jp-border-color1); border-radius: 3px; padding: 0 0.4em; font-size: 12px; }
.saelab-more { padding-left: 26px; }
.saelab-none { margin: 0 0 0 26px; }
.saelab-feature > pre { margin-left: 26px !important; }
.saelab-output pre { color: inherit; }
.saelab-columns { display: flex; flex-wrap: wrap; gap: 0 1.4em; margin: 2px 0 6px !important; font-size: 12px; }
.saelab-columns span { white-space: nowrap; }
.saelab-columns b { font-variant-numeric: tabular-nums; }
.saelab-note { display: flex; gap: 8px; align-items: center; margin-top: 8px; font-size: 12px; }
.saelab-note textarea { flex: 1; resize: vertical; min-height: 24px; field-sizing: content; }
.saelab-status { display: flex; justify-content: space-between; gap: 1em; padding: 3px 8px; font-size: 12px; border-top: 1px solid var(--jp-border-color2); min-height: 22px; }
.saelab-status [role=status] { white-space: pre-wrap; overflow: hidden; overflow-wrap: anywhere; max-height: 3em; }

.saelab-at { outline: 2px solid var(--jp-brand-color1); }
.saelab-typed { display: flex; gap: 8px; align-items: center; margin-bottom: 8px; }
.saelab-typed textarea { flex: 1; font-family: var(--jp-code-font-family); field-sizing: content; min-height: 24px; max-height: 12em; }
.saelab-table th button { border: 0; background: none; padding: 0; font-weight: 600; white-space: nowrap; }

@media (prefers-reduced-motion: no-preference) { .saelab-feature { transition: background-color 0.12s; } }
@media (forced-colors: active) { .saelab-output pre span[style*=background] { forced-color-adjust: none; color: #000; background-color: #ffb366 !important; } }
@media print { .saelab-list { height: auto; max-height: none; } .saelab-tools { display: none; } }
`;
