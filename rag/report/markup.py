"""HTML in which what is not known to be markup is text: escaping is the rule, not something to remember."""

from html import escape

from titrate import printable

_LONGEST = 1_000_000
_VOID = ("br", "meta")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: str) -> Html:
    """Turn text of any origin into markup that shows it; what does not show is written as an escape."""
    return value if isinstance(value, Html) else Html(escape(printable(value, lines=True, longest=_LONGEST)))


def element(name: str, /, *content: str, **attributes: str) -> Html:
    """Return an element around content, in which only `Html` is markup.

    >>> element("p", "1 < 2", element("br"), class_="note")
    '<p class="note">1 &lt; 2<br></p>'
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items())
    inside = "".join(map(text, content))
    return Html(f"<{name}{given}>{inside}" + ("" if name in _VOID else f"</{name}>"))


def tabulate(label: str, head: list[str], rows: list[list[str]], marked: frozenset[int] = frozenset()) -> Html:
    """Return a table for any width: cells carry their column's heading, and one too wide scrolls, by keyboard too.

    Parameters
    ----------
    label
        What to call it to those who do not see it.
    head
        A heading for each column.
    rows
        Cells; the first of each row is its heading.
    marked
        Numbers, from 0, of the rows that stand out.
    """
    header = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = []
    for number, (first, *others) in enumerate(rows):
        named = zip(head[1:], others, strict=True)
        cells = element("th", first, scope="row"), *(element("td", cell, data_label=name) for name, cell in named)
        body.append(element("tr", *cells, **({"class_": "marked"} if number in marked else {})))
    table = element("table", element("thead", header), element("tbody", *body))
    return element("div", table, class_="scroll", role="region", aria_label=label, tabindex="0")


def listing(entries: list[str]) -> Html:
    """Return a list without numbers."""
    return element("ul", *(element("li", entry) for entry in entries))
