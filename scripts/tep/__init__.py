"""The process-monitoring app through the whole river, on runs of the Tennessee Eastman process.

    python -m scripts.tep --data ../shared/data/tep --json

`runs` reads the files, `device` plays them to a gateway row by row, `homes` and `river` make
the nodes, `lake` reads what arrived, `verdict` compares it with the files, with the reference
figures and with a replay.
"""
