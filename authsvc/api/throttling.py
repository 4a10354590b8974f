"""Limits of what one address may ask for, whoever it is."""

from authsvc import ratelimit
from authsvc.problems import RateLimited
from authsvc.request.addresses import bucket
from authsvc.request.context import current


def limit_address(rate: str, purpose: str) -> None:
    """Count a request of the current client's address for a purpose. Raises RateLimited; "" is no limit."""
    if rate and not (verdict := ratelimit.hit(rate, purpose, bucket(current.get().address))).passes:
        raise RateLimited(verdict)
