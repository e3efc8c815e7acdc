"""See docs/reference."""
