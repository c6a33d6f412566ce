"""Words for what the stores say in one word; each in both languages through the catalogue."""

from __future__ import annotations

from headquarters.portal.words import N_

STANDING = {
    "live": N_("live"),
    "late": N_("catching up"),
    "silent": N_("silent"),
    "never": N_("never heard"),
    "quarantined": N_("quarantined"),
    "revoked": N_("revoked"),
}
PRIORITY = {1: N_("critical"), 2: N_("high"), 3: N_("medium"), 4: N_("low")}
ALARM_STATE = {
    "normal": N_("normal"),
    "unacknowledged": N_("unacknowledged"),
    "acknowledged": N_("acknowledged"),
    "returned-unacknowledged": N_("gone, unacknowledged"),
    "latched-unacknowledged": N_("latched, unacknowledged"),
    "latched": N_("latched"),
    "shelved": N_("shelved"),
    "suppressed": N_("suppressed by design"),
    "out-of-service": N_("out of service"),
}
REGISTER = {
    "active": N_("in the register"),
    "listed": N_("on the list by hand"),
    "quarantined": N_("quarantined"),
    "revoked": N_("revoked"),
}
EVENT_TYPE = {
    "alarm": N_("alarm"),
    "event": N_("event"),
    "command": N_("command"),
    "app": N_("app"),
    "write": N_("write"),
}
PHASE = {
    "planned": N_("planned"),
    "running": N_("running"),
    "paused": N_("paused"),
    "halted": N_("halted"),
    "aborted": N_("aborted"),
    "done": N_("done"),
}
COURSE = {
    "waiting": N_("waiting"),
    "late": N_("out of reach"),
    "moving": N_("on its way"),
    "soaking": N_("proving itself"),
    "good": N_("good"),
    "returning": N_("going back"),
    "returned": N_("gone back"),
    "left": N_("no longer ours"),
}
ITEM_STATE = {
    "desired": N_("known there"),
    "downloaded": N_("downloaded"),
    "verified": N_("verified"),
    "active": N_("active"),
    "failed": N_("failed"),
    "drifted": N_("changed at the gateway"),
}
TRANSITION = {
    "raised": N_("raised"),
    "returned": N_("went away"),
    "acknowledged": N_("acknowledged"),
    "reset": N_("reset"),
    "shelved": N_("shelved"),
    "unshelved": N_("unshelved"),
    "shelving-expired": N_("shelving expired"),
    "suppressed": N_("suppressed by design"),
    "unsuppressed": N_("no longer suppressed"),
    "out-of-service": N_("out of service"),
    "in-service": N_("back in service"),
    "removed": N_("removed"),
}
STATEMENT = {
    "collected": N_("collected"),
    "thinned": N_("thinned out"),
    "journalled": N_("journalled"),
    "sealed": N_("sealed in batches"),
    "dropped": N_("dropped"),
    "buried": N_("buried as tombstones"),
}
CLOCK = {
    "synchronised": N_("synchronised"),
    "holdover": N_("holding over"),
    "unsynchronised": N_("unsynchronised"),
}
SETTLED = {
    "in place": N_("in place"),
    "on its way": N_("on its way"),
    "never reported": N_("never reported"),
}
STREAM = {"data": N_("samples"), "event": N_("events"), "meta": N_("definitions")}
STAGE = {
    "queued": N_("queued here"),
    "at-hub": N_("at the hub"),
    "delivered": N_("at the gateway"),
    "executing": N_("being carried out"),
    "ended": N_("over"),
}
OUTCOME = {
    "done": N_("done"),
    "selected": N_("selected, not written yet"),
    "failed": N_("failed"),
    "refused": N_("refused"),
    "unknown": N_("unknown"),
}
ENDED = {"done": N_("done"), "denied": N_("denied"), "failed": N_("failed")}
ACTOR = {"user": N_("person"), "token": N_("token"), "system": N_("the machine")}
FAULT = {
    "refused": N_("This may not be asked"),
    "wrong": N_("Something in the query is wrong"),
    "costly": N_("It would read too much"),
    "timeout": N_("It took too long"),
    "cancelled": N_("Stopped"),
    "memory": N_("It needs too much memory"),
    "busy": N_("Too many queries wait already"),
    "quota": N_("The quota is used up"),
    "store": N_("The lake could not be read"),
}
QUALITY = {"good": N_("good"), "uncertain": N_("uncertain"), "bad": N_("bad")}
NODE_ROLE = {"headquarters": N_("headquarters"), "hub": N_("hub"), "gateway": N_("gateway")}
STORE = {
    "disk": N_("disk"),
    "store": N_("store of batches"),
    "mirror": N_("mirror of what comes down"),
}
WORK = {
    "checkpoint": N_("checkpoints of the tables' logs"),
    "merge": N_("merging of small files"),
    "roll-up": N_("roll-ups by minute and hour"),
    "rewrite": N_("sorted rewriting of closed dates"),
    "removal": N_("removal of replaced files"),
    "retention": N_("removal of archived dates"),
    "audit": N_("removal of audit entries"),
}
SEVERITY = {"info": N_("notice"), "warning": N_("warning"), "critical": N_("critical")}
RULE = {
    "threshold": N_("when it is"),
    "absence": N_("when it is missing"),
    "anomaly": N_("when it is unusual"),
}

KINDS: dict[str, dict[str, str]] = {
    "standing": STANDING,
    "store": STORE,
    "work": WORK,
    "alarm_state": ALARM_STATE,
    "register": REGISTER,
    "event_type": EVENT_TYPE,
    "phase": PHASE,
    "course": COURSE,
    "item_state": ITEM_STATE,
    "transition": TRANSITION,
    "statement": STATEMENT,
    "clock": CLOCK,
    "settled": SETTLED,
    "stream": STREAM,
    "stage": STAGE,
    "fault": FAULT,
    "outcome": OUTCOME,
    "ended": ENDED,
    "actor": ACTOR,
    "quality": QUALITY,
    "node_role": NODE_ROLE,
    "severity": SEVERITY,
    "rule": RULE,
    "priority": {str(number): word for number, word in PRIORITY.items()},
}


def label(kind: str, value: object) -> str:
    """The English word; what has none is shown as it is.

    >>> label("standing", "late"), label("phase", "new in some later release")
    ('catching up', 'new in some later release')
    """
    return KINDS[kind].get(str(value), str(value))
