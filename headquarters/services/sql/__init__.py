"""Governed queries: SQL over the lake in which everybody finds their own data and nothing else."""
