"""Users, groups, roles, and every way to sign in."""
