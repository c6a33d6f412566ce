"""The gateway: collects from field devices, signs, keeps, and sends upward.

Runs at level 3, in the plant. Collection never waits for the disk or the network, and
one dead device delays no other.
"""
