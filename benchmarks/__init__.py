"""The benchmarks: ratios to what one would write by hand, each measured on both sides in the same run."""
