"""The demo: two cities on this machine, each with every role as a process of its own, each pulling the other."""
