"""From nothing to collecting: an image, a bare machine, a token, an approval, and what comes down."""
