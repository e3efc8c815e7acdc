"""The pure stage from experiment and environment to plan."""
