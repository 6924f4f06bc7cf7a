"""What holds machines together: the control store and its views, streams between processes, a guess at who still lives.

See `objstore/cluster/DESIGN.md`. Each name is offered by the module that is about it; the port is `control_store`.
"""
