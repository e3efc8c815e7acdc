"""Chaos Toolkit doing the same job. The modules here that it imports run in its own processes only."""
