"""What headquarters does for people and their programs: governed queries, and the fleet from afar."""
