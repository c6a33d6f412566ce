"""The local status page: how the gateway is doing, for whoever stands beside it."""
