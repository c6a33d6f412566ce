"""The settings of `[alerts]`."""

from __future__ import annotations

from urllib.parse import urlsplit

from protocols.field.settings import Form, Kind, Setting

ALERTS = (
    Setting("interval_s", Kind.NUMBER, "How often rules are judged.", 15.0, low=1, high=3600, unit="s"),
    Setting("email_to", Kind.TEXT, "Addresses that get mail, separated by commas; left out: no mail."),
    Setting("email_from", Kind.TEXT, "The sender of mail.", "catchment@localhost"),
    Setting("smtp_host", Kind.TEXT, "The mail server.", "localhost"),
    Setting("smtp_port", Kind.INTEGER, "Its port.", 25, low=1, high=65_535),
    Setting(
        "smtp_security",
        Kind.TEXT,
        "How mail is encrypted on its way to the server.",
        "none",
        choices=("none", "starttls", "tls"),
    ),
    Setting("smtp_user", Kind.TEXT, "The name to sign in to it with; left out: not signed in."),
    Setting("smtp_password", Kind.SECRET, "The password to sign in to it with."),
    Setting(
        "webhook_url",
        Kind.SECRET,
        "Where alerts are posted as JSON; left out: nowhere.",
        form=Form(
            lambda text: urlsplit(text).scheme in ("http", "https") and bool(urlsplit(text).hostname),
            "a URL such as 'https://oncall.example/hook'",
        ),
    ),
    Setting("webhook_secret", Kind.SECRET, "The secret that what is posted is signed with."),
)
"""`[alerts]` of headquarters."""
