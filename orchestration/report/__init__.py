"""The sync report: one page about what was landed, how fresh it is, what it cost and what failed."""
