"""Stores that landed records are written to and read from."""
