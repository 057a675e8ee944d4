"""What an e-mail address and a password must be like.

An address is ``local@domain``, at most 254 characters (RFC 5321, 4.5.3.1.3). The local part has 1
to 64 visible characters, none of them a space, a quote or one of ``()<>[],;:\\``. The domain is two
or more labels of 1 to 63 letters, digits and inner hyphens. Quoted local parts and address literals
are refused, although RFC 5322 knows them: nobody has one, and typing errors look like them.
"""

import re
import unicodedata

EMAIL_MAX_CHARS = 254
PASSWORD_MIN_CHARS = 8
PASSWORD_MAX_BYTES = 72
"""bcrypt reads no more. A longer password is refused, since cutting it would weaken it unseen."""

_LOCAL = re.compile(r"""[^\s"'`()<>\[\],;:\\@]{1,64}""")
_LABEL = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")


def email_key(email: str) -> str:
    """The form in which addresses are compared: without regard to case or composed accents."""
    return unicodedata.normalize("NFC", email.strip().casefold())


def email_faults(email: str) -> list[str]:
    """What is wrong with an address, trimmed; empty when nothing is."""
    email = email.strip()
    # Folding may lengthen an address, and the folded one is kept, too.
    if max(len(email), len(email_key(email))) > EMAIL_MAX_CHARS:
        return [f"must have at most {EMAIL_MAX_CHARS} characters"]
    local, at, domain = email.rpartition("@")
    labels = domain.split(".")
    if (
        not at
        or not email.isprintable()
        or not _LOCAL.fullmatch(local)
        or len(labels) < 2
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        return ["must be an e-mail address such as ada@example.com"]
    return []


def password_faults(password: str) -> list[str]:
    """Everything that is wrong with a password; empty when nothing is."""
    checks = [
        (
            len(password) >= PASSWORD_MIN_CHARS,
            f"must have at least {PASSWORD_MIN_CHARS} characters",
        ),
        (
            len(password.encode("utf-8", "surrogatepass")) <= PASSWORD_MAX_BYTES,
            f"must have at most {PASSWORD_MAX_BYTES} bytes of UTF-8",
        ),
        (any(map(str.isupper, password)), "must have an upper-case letter"),
        (any(map(str.islower, password)), "must have a lower-case letter"),
        (any(map(str.isdigit, password)), "must have a digit"),
        ("\0" not in password, "must not have a NUL character"),
        (
            not any("\ud800" <= char <= "\udfff" for char in password),
            "must not have half of a surrogate pair",
        ),
    ]
    return [message for fine, message in checks if not fine]


def credential_faults(email: str, password: str) -> list[tuple[str, str]]:
    """Everything that is wrong with either, as (path, message) pairs."""
    return [("email", message) for message in email_faults(email)] + [
        ("password", message) for message in password_faults(password)
    ]
