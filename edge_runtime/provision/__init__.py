"""How a bare machine becomes a gateway, comes to its keys and its place in the group, and keeps them."""
