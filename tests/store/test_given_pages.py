"""Lines of the audit are added with the statement that finds their pages: of an agreement all of them, or none."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from store.access import token_hash
from store.agreed import PageAsked, token_pages
from store.audit import AuditMoved, AuditRow, audit_rows
from store.database import AsyncConnection, Connection, connect, connect_async
from store.given_pages import ExpectedPage, record_pages
from tests.federation.agreements.matrix import METRICS, generated

pytestmark = pytest.mark.services

SEED, AGREEMENTS = 19, 14


def token_of(connection: Connection, agreement: str, name: str, life: str = "1 hour") -> bytes:
    """The hash of a new token under an agreement."""
    connection.execute(
        "INSERT INTO access_tokens (hash, agreement, expires_at) VALUES (%s, %s, now() + %s::interval)",
        (token_hash(name), agreement, life),
    )
    return token_hash(name)


async def found_pages(connection: AsyncConnection, asked: Sequence[PageAsked]) -> list[tuple[ExpectedPage, AuditRow]]:
    """The pages that may be read of what was asked, each with the next line of its agreement."""
    sequences: dict[str, count[int]] = {}
    pages = []
    for question, found in zip(asked, await token_pages(connection, asked), strict=True):
        if found is not None and found[1].agreed:
            access, page = found
            sequence = next(sequences.setdefault(access.agreement, count(1)))
            row = AuditRow(access.agreement, sequence, 1_000, f"{access.agreement} {sequence}".encode())
            pages.append((ExpectedPage(question, access, page.content), row))
    return pages


def test_of_an_agreement_every_line_is_added_or_none_and_of_the_others_all(database_url):
    with connect(database_url) as connection:
        world = generated(connection, SEED, AGREEMENTS)
        tokens = {agreed.id: token_of(connection, agreed.id, agreed.id) for agreed in world.agreements}
        ended = {name: token_of(connection, name, f"{name} ended", "-1 s") for name in tokens}
    asked = [PageAsked(token, metric, 0, 1000) for token in tokens.values() for metric in METRICS]

    async def run() -> None:
        connection = await connect_async(database_url, name="test", wait_s=5, statement_limit_ms=5000)
        async with connection:
            pages = await found_pages(connection, asked)
            several = {row.agreement for _, row in pages if row.sequence > 1}
            mine, other = sorted(several)[:2]
            place, first = next((i, page) for i, (page, row) in enumerate(pages) if row.agreement == mine)
            [(_, of_no_body)] = await token_pages(connection, [first.asked._replace(after=2**62)])
            empty = of_no_body.content
            wrong = [
                first._replace(content="0" * 64),
                first._replace(access=replace(first.access, version=first.access.version + 1)),
                first._replace(asked=first.asked._replace(token=tokens[other])),
                first._replace(asked=first.asked._replace(token=ended[mine])),
                first._replace(asked=first.asked._replace(token=b"unknown")),
                first._replace(asked=first.asked._replace(metric="nothing")),
                first._replace(asked=first.asked._replace(metric="nothing"), content=empty),
                first._replace(asked=first.asked._replace(token=ended[mine], after=2**62), content=empty),
            ]
            everyone = {row.agreement for _, row in pages}
            for changed in wrong:
                given = [*pages[:place], (changed, pages[place][1]), *pages[place + 1 :]]
                assert await record_pages(connection, given) == everyone - {mine}
                with connect(database_url) as reader:
                    kept = {row.line for row in audit_rows(reader)}
                    assert kept == {row.line for _, row in pages if row.agreement != mine}
                    reader.execute("DELETE FROM audit")
            assert await record_pages(connection, pages) == everyone
            with pytest.raises(AuditMoved):
                await record_pages(connection, pages[:1])
            await connection.execute("DELETE FROM audit")
            await connection.execute("DELETE FROM publication_log")
            assert await record_pages(connection, pages) == set()
            assert not await (await connection.execute("SELECT FROM audit")).fetchall()

    asyncio.run(run())
