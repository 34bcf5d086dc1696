"""What becomes a number: training losses and the measures that `eval` reports."""
