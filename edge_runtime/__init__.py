"""The gateway: collects from field devices, buffers, and sends signed batches upward."""
