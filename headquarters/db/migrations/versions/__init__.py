"""One file a step, named `NNNN_what.py`; several rooms may add steps beside each other."""
