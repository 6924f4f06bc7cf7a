"""The composition root and the process around it: settings, command line, HTTP, lifecycle. DESIGN.md tells the order.

Nothing is re-exported: importing the command line must not load the server, and the modules are the public surface.
"""
