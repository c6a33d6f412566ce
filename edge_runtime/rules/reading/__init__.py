"""Text to syntax tree: grammar, literals, and what is said of mistakes in form."""
