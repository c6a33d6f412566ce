"""From accepted batches to durable rows: a pure core, and the threads that drive it."""
