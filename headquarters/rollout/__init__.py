"""Roll-outs: one change to many gateways, ring by ring, that halts and goes back by itself."""
