"""How a gateway comes to its keys and its place in the group, and how it keeps them."""
