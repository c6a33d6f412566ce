"""Who may do what, and whose data they see."""
