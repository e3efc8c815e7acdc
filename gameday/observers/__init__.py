"""Observers: each turns one part of the outside world into events, in threads of its own."""
