"""A page's content as HTML, in one language. Pure."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache, partial
from importlib import resources

from mako.template import Template
from markupsafe import Markup

from api.own.figures import CityStatus
from api.own.page.content import DatasetAccount, PageContent
from api.own.page.languages import Language, languages
from federation.city import CityFacts
from federation.compare import Comparison, decimals
from federation.disclosure.rules import rule_of
from store.moments import milliseconds
from store.processing import Account


def rendered(city: CityFacts, language: Language, content: PageContent | None, now: datetime) -> str:
    """The page as HTML, made at `now`. Without content it states that the database does not answer."""
    html = _template().render_unicode(
        t=language,
        languages=languages().values(),
        city=city.names.get(language.code, city.name),
        population=city.population,
        zone=city.zone,
        content=content,
        made=milliseconds(now),
        style=Markup(style()),
        amount=partial(_amount, language),
        dataset=partial(_dataset, language),
        status=partial(_status, language, city.zone),
        outcomes=_outcomes,
        rule_of=rule_of,
    )
    return str(html)


def _amount(language: Language, row: Comparison) -> str:
    figure = row.figure or 0.0
    if row.unit == "%":
        return language.percent(figure, decimals(figure))
    unit = language.word("unit", row.unit, row.unit)
    return language.text("figure", number=language.number(figure, decimals(figure)), unit=unit)


def _status(language: Language, zone: str, status: CityStatus) -> str:
    word = language.sections["status"][status.word]
    if status.since is None or status.word == "fresh":
        return word
    return language.text("status-since", status=word, time=language.time(status.since, zone))


def _dataset(language: Language, stream: DatasetAccount) -> str:
    title = language.word("dataset", stream.dataset, stream.dataset)
    return language.text("history", dataset=title) if stream.history else title


def _outcomes(account: Account) -> Iterator[tuple[str, int]]:
    """The account in the order in which it adds up."""
    for name in ("messages", "dead", "lost_messages"):
        yield name, getattr(account, name)
    for name in ("readings", "aggregated", "duplicate", "late", "rejected", "open", "lost"):
        yield name, getattr(account, name)


@cache
def _template() -> Template:
    # "h" escapes everything that is filled in, except what is marked as HTML: the style and the template's own parts.
    return Template(_file("page.html"), default_filters=["h"], strict_undefined=True)


@cache
def style() -> str:
    """The style sheet that every page carries."""
    return _file("page.css")


def _file(name: str) -> str:
    return resources.files("api.own").joinpath("templates", name).read_text(encoding="utf-8")
