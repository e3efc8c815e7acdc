"""gameday proves under fire that a system and its people do what the runbooks promise."""

__version__ = "0.1.0"
__all__ = ["__version__"]
