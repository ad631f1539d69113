"""Everything that talks to the outside: sources, destinations, and the local sandboxes that stand in for vendors."""
