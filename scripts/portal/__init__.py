"""What the portal's scripts, styles and words are made with."""
