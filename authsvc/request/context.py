"""The request that is being answered, for what is recorded of it far below the view."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from string import ascii_letters, digits
from typing import Any

from django.conf import settings

from authsvc.request.addresses import Address, client_address

logger = logging.getLogger(__name__)

# A key of any prefix, or a token. Linear: a token is looked for once in each run of its characters, not at each "eyJ".
CREDENTIAL = re.compile(
    r"[0-9A-Za-z_]{1,20}_[0-9A-Za-z]{49}|(?<![\w-])(?=[\w-]*eyJ)[\w-]++\.[\w-]++\.[\w-]*+", re.ASCII
)
USER_AGENT_LENGTH = 200  # characters that are stored
INSPECTED = 1000  # characters that are looked at
RUN = f"{ascii_letters}{digits}_.-"  # the characters of a credential
KEY_LENGTH = 70  # characters of the longest key


UNKNOWN_ADDRESS = (
    "the address of a client cannot be told, and all such clients share one rate limit: does X-Forwarded-For name as "
    "many addresses as TRUSTED_PROXIES says, and does a proxy come through a unix socket while TRUSTED_PROXIES is 0?"
)
UNTRUSTED_PROXY = (
    "a request has X-Forwarded-For and TRUSTED_PROXIES is 0: if a proxy of yours sends it, all of its clients share "
    "one rate limit until TRUSTED_PROXIES is the number of your proxies"
)


@cache
def warn_once(sentence: str) -> None:
    """Log one of the warnings above, once in each process."""
    logger.warning(sentence)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request's id and its WSGI environment, which is read only where something is recorded."""

    request_id: str
    meta: Mapping[str, Any]
    request: Any = None

    @property
    def address(self) -> Address | None:
        """The client's address, as TRUSTED_PROXIES says; None where it cannot be told."""
        forwarded, proxies = self.meta.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
        address = client_address(self.meta.get("REMOTE_ADDR", ""), forwarded, proxies)
        if address is None and self.meta:
            warn_once(UNKNOWN_ADDRESS)
        elif forwarded and proxies == 0:
            warn_once(UNTRUSTED_PROXY)
        return address

    @property
    def user(self) -> Any:
        """Who was let in, or None as long as nobody was."""
        user = getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @property
    def user_agent(self) -> str:
        """The User-Agent, at most USER_AGENT_LENGTH characters, with everything masked that looks like a credential."""
        return masked_excerpt(str(self.meta.get("HTTP_USER_AGENT", "")), USER_AGENT_LENGTH)


def mask(text: str) -> str:
    """Return a text without what looks like a credential: people paste keys into wrong places."""
    return CREDENTIAL.sub("***", text)


def masked_excerpt(text: str, length: int) -> str:
    """Return at most ``length`` characters of a client's text, masked."""
    return mask(text if len(text) <= INSPECTED else without_cut_credential(text[:INSPECTED]))[:length]


def without_cut_credential(text: str) -> str:
    """Return a text that was cut without what may be the first part of a credential that the cut went through."""
    rest = text.rstrip(RUN)
    run = text[len(rest) :]
    return f"{rest}***" if "eyJ" in run else rest + run[:-KEY_LENGTH]


# Outside a request, in a command or at start-up.
NONE = RequestContext("-", {})
current: ContextVar[RequestContext] = ContextVar("request", default=NONE)
