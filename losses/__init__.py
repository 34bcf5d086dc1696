"""Everything that becomes a number: training losses, and the metrics of `eval`."""
