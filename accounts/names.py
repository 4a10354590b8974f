"""Usernames in the one form in which they are stored and compared. Pure, no Django."""

import unicodedata


def fold(text: str) -> str:
    """Return a name so that its ASCII lower case decides whether two names are the same one.

    NFKC makes look-alikes by form one (full-width letters, ligatures, composed accents; Unicode TR 15). Letters beyond
    ASCII, accented ones among them, are case-folded here, because a database's LOWER() may know ASCII only (SQLite,
    PostgreSQL's C locale); plain ASCII letters keep the case in which they were typed, for display. Folding works on
    letters taken apart (The Unicode Standard, D146: compatibility caseless matching).
    """
    apart = unicodedata.normalize("NFKD", text)
    folded = "".join(
        letter
        if letter.isascii() and not unicodedata.combining(after)
        else unicodedata.normalize("NFKD", letter.casefold())
        for letter, after in zip(apart, f"{apart[1:]} ", strict=False)
    )
    return unicodedata.normalize("NFKC", folded).strip()
