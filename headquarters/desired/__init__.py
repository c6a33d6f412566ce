"""What gateways should run, and what they say of it: documents with history, and reported state."""
