"""Frozen types that all other parts share; no input or output happens here."""
