"""What an engineer's machine does to gateways and boards: images, cards, serial lines.

Runs beside the programs that it prepares, never inside one.
"""
