"""The whole river on one machine: plant, gateways, hub, headquarters, and a judge.

Every part is a process of its own, started by the commands that an operator would type.
"""
