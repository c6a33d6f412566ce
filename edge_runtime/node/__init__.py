"""What runs on a MicroPython board. Portable: these files run on CPython too, and import nothing of ours.

On the board they are the package `catchment_node`, precompiled; `main.py` there starts `supervisor`.
"""
