"""What people do to the fleet from afar: let nodes in and out, handle alarms, command, roll out.

Rules:
1. Each takes the `Scope` of who asks: what is not seen cannot be touched, and looks as if it were
   not there (`UnseenError`).
2. The work is done by the rooms that the command line uses too: the register, the queue of
   commands, the store of desired states. Nothing is decided twice.
3. Who may do it at all, and the audit, are looked after by whoever calls: portal and API.
"""
