"""The steps that bring a metadata store from each version to the next."""
