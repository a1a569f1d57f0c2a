"""Text that came from a client, made safe to store and to print."""

from __future__ import annotations

LONGEST = 200


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Return ``text`` on one line: control characters escaped, cut to ``longest``.

    Nothing in it can move a cursor, start a new log line or hide behind a right-to-left mark.
    Markup such as ``<b>`` stays as it is: who renders it, escapes it for what it renders.

    >>> printable("a\x1b[2J\nb\u202e<script>")
    'a\\x1b[2J\\nb\\u202e<script>'
    """
    try:
        raw = str(text)
    except Exception:  # noqa: BLE001 - an integer of 5000 digits, or a text of its own, may refuse
        raw = f"an unprintable {type(text).__name__}"
    cut = raw[:longest]
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut
    )
    return shown + (f" … ({len(raw)} characters)" if len(raw) > longest else "")
