"""Commands to gateways: given and signed here, queued for those on the way, and what became of them."""
