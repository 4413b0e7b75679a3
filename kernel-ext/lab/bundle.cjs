/** Added to the builder's own settings. */
module.exports = { performance: { hints: false } };
