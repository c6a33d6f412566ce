"""Who belongs to the group: the authority, the register of nodes, enrolment, and the directory."""
