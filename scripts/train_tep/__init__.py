"""Trains the model of `apps/process-monitoring` on the Tennessee Eastman reference runs."""
