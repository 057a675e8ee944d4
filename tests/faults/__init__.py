"""Breaks what a fleet of nodes stands on, and counts what its clients were told.

Everything is real: servers, Redis, PostgreSQL, signals, sockets. ``fleet`` starts the parts,
``rows`` does the harm, ``crowd`` is the clients in a process of their own, ``verdict`` compares
what they were told with what was to be told, among each other and with the history.
"""
