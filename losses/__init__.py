"""Everything that becomes a number: training losses, and the metrics that `eval` reports."""
