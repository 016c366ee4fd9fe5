"""Circuits from and for other libraries, each in a module of its own that imports its library when it is used."""
