"""Forms as a browser fills them in: what a page shows is what goes back, apart from what the operator types."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

Fields = dict[str, list[str]]


class FormReader(HTMLParser):
    """Collects, for each form of a page, the names and values that a browser would send without a click."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[Fields] = []
        self.name = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.forms.append({})
        elif tag == "select":
            self.name = attributes.get("name") or ""
        elif tag == "option" and "selected" in attributes:
            self.add(self.name, attributes)
        elif tag == "input" and (attributes.get("type") not in {"checkbox", "submit"} or "checked" in attributes):
            self.add(attributes.get("name") or "", attributes)

    def add(self, name: str, attributes: dict[str, str | None]) -> None:
        """Note one value of the form that is being read; a ticked box without a value is "on"."""
        empty = "on" if attributes.get("type") == "checkbox" else ""
        for form in self.forms[-1:]:
            form.setdefault(name, []).append(attributes.get("value") or empty)


def form_with(response: Any, field: str) -> Fields:
    """Return what the form of a page that has a field would send."""
    (form,) = [form for form in FormReader(response.content.decode()).forms if field in form]
    return {name: values for name, values in form.items() if name}
