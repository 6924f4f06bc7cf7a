"""The S3 protocol as pure functions over bytes and values; DESIGN.md tells the way of a request.

Nothing is re-exported here: the modules are the public surface, and importing one of the text tools
must not load the table of all operations.
"""
