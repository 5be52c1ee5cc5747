"""What runs on the device: copied there alone, with the standard library, numpy and one runtime.

Imports here are relative, because the copy has another name; only names of Python 3.9 are used,
because boards keep their system's Python for years.
"""
