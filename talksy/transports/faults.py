"""What pydantic found wrong with a payload, said so that a client can put it right."""

import pydantic

from talksy.errors import ValidationError

MAX_FAULTS = 20
"""As many are listed; who has more is not reading them."""

_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "string_pattern_mismatch": "may have 1 to 128 visible ASCII characters, no blanks",
    "string_too_short": "must not be empty",
    "string_too_long": "may have at most {max_length} characters",
    "too_long": "may have at most {max_length} entries",
    "greater_than_equal": "must be {ge:.16g} or more",
    "less_than_equal": "must be {le:.16g} or less",
    "literal_error": "must be {expected}",
}


def validation_error(error: pydantic.ValidationError) -> ValidationError:
    """The error a client is told: each fault with its path, no value it sent."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        path = ".".join(str(part)[:64] for part in fault["loc"])
        context = fault.get("ctx", {})
        ours = _MESSAGES.get(fault["type"])
        said = ours.format(**context) if ours else fault["msg"]
        faults += [(path, message) for message in context.get("all") or [said]]
    faults = faults[:MAX_FAULTS]
    detail = "; ".join(f"{path or 'This'} {message}" for path, message in faults)
    return ValidationError(detail, faults=faults)
