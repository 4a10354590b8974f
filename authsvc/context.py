"""The request that is being answered, for what is recorded of it far below the view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from authsvc.addresses import Address, client_address

# A key of any prefix, or a token.
CREDENTIAL = re.compile(r"[0-9A-Za-z_]{1,20}_[0-9A-Za-z]{49}|eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request's id and its WSGI environment, which is read only where something is recorded."""

    request_id: str
    meta: Mapping[str, Any]
    request: Any = None

    @property
    def address(self) -> Address | None:
        """The client's address, as TRUSTED_PROXIES says."""
        return client_address(
            self.meta.get("REMOTE_ADDR", ""), self.meta.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
        )

    @property
    def user(self) -> Any:
        """Who was let in, or None as long as nobody was."""
        user = getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @property
    def user_agent(self) -> str:
        """What the client calls itself, without what looks like a credential: it may be kept for ever."""
        return CREDENTIAL.sub("***", str(self.meta.get("HTTP_USER_AGENT", "")))


# Outside a request, in a command or at start-up.
NONE = RequestContext("-", {})
current: ContextVar[RequestContext] = ContextVar("request", default=NONE)
