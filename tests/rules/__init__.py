"""The judge of the rule compiler: an interpreter, random programs, and the three runtimes."""
