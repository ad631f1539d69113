"""Local stand-ins for vendors: real HTTP servers on loopback that keep the vendors' rules, with faults on demand."""
