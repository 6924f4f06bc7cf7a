"""`python -m objstore.testing.sim`: replay the schedule of a seed, or run many."""

from objstore.testing.sim.command import main

main()
