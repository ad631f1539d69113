"""Promises under fire: real processes that are killed, real servers that misbehave. Seeded, and bounded in time."""
