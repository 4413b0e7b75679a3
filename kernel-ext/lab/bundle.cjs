const { rspack } = require("@rspack/core");

/** Added to the builder's own settings: Plotly comes minified. */
module.exports = { optimization: { minimizer: [new rspack.SwcJsMinimizerRspackPlugin({ exclude: /plotly/ })] } };
