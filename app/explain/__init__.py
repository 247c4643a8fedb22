"""Explain a recording: report mistakes and other remarkable facts, with a fix if one is certain.

Its modules and packages, from the top down. Each imports only from those below it:

- ``findings.py``: run every rule on a recording
- ``registry.py``: list every rule, in groups
- ``rules``: make findings, one module for each code
- ``rule.py``, ``documentation.py``: what a rule is, and the sections of its documentation
- ``rewriting``: write and apply the edits of a fix
- ``recorded``: read exceptions, gradients of layers and the origin of a NaN from a recording
- ``program``: find statements, calls and names in the text of a program
- ``wording.py``: names and numbers in sentences
"""
