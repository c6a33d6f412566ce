"""Commands at the gateway: judged, journalled, carried out once, answered by a signed event."""
