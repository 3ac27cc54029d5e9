"""The e-mail rating: how gladly a person takes our e-mails, 0 to 5 in steps of a tenth. The formula and nothing else.

    messages = the larger of sent, delivered, read and clicked
    read     = at most messages, and at least clicked: who clicks has read, whatever images were blocked
    rating   = (3 * read + 2 * clicked) / messages, rounded half up to a tenth

So everything read makes 3, everything clicked as well 5. It is 0 from a hard bounce, a complaint or an unsubscription
of the whole channel on, until a later read or click. Nothing sent and nothing done makes no rating. Only counts of
activities and the times of two of them go in, no clock: a rebuild comes to the same on any day.
"""

from __future__ import annotations

from datetime import datetime


def email_rating(
    *, sent: int, delivered: int, read: int, clicked: int, welcomed_at: datetime | None, refused_at: datetime | None
) -> float | None:
    """All of e-mails only. `welcomed_at` is the last read or click; a refusal at the same time counts more."""
    messages = max(sent, delivered, read, clicked)
    if refused_at is not None and (welcomed_at is None or refused_at >= welcomed_at):
        return 0.0
    if messages == 0:
        return None
    clicks = min(clicked, messages)
    reads = min(max(read, clicks), messages)
    # In whole numbers, so that no machine rounds otherwise: half up is floor((2 * dividend + divisor) / 2 * divisor).
    tenths = (2 * (30 * reads + 20 * clicks) + messages) // (2 * messages)
    return tenths / 10
