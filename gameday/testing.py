"""Fakes for drills of your own."""
