"""The simulation of a replicated partition."""
