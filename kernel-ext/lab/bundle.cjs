const path = require("node:path");
const { rspack } = require("@rspack/core");

/** Added to the builder's own settings: the style sheet made small; Plotly comes so. */
module.exports = {
  resolve: { alias: { "style.raw.css": path.join(__dirname, "src", "style.raw.css") } },
  module: { rules: [{ test: /\.raw\.css$/, loader: "builtin:lightningcss-loader", options: { minify: true, targets: "chrome >= 100, firefox >= 100, safari >= 15" } }] },
  optimization: { minimizer: [new rspack.SwcJsMinimizerRspackPlugin({ exclude: /plotly/, minimizerOptions: { ecma: 2022, compress: { passes: 3 }, mangle: true, format: { comments: false } } })] },
};
