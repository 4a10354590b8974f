"""Limits of what one address may ask for, whoever it is."""

from authsvc import limiter
from authsvc.addresses import bucket
from authsvc.context import current
from authsvc.problems import RateLimited


def limit_address(rate: str, purpose: str) -> None:
    """Count a request of the current client's address for a purpose. Raises RateLimited; "" is no limit."""
    if rate and not (verdict := limiter.hit(rate, purpose, bucket(current.get().address))).passes:
        raise RateLimited(verdict)
