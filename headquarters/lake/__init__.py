"""The lake: Delta tables in a folder, their one writer, their upkeep and the way to query them."""
