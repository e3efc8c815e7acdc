"""The bench: `make bench`. Measured from outside, next to Chaos Toolkit doing the same job; pytest collects only
the tests of its arithmetic."""
