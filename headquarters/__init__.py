"""Headquarters: takes signed batches from hubs and gateways into one lake, and answers for every one."""
