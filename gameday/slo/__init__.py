"""Service-level arithmetic that several stages share: burn rates, windows, alert rules."""
