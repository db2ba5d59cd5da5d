"""A second partner that shows which heads it has seen, of the city and of ours, as rules of a state machine."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis.stateful import precondition, rule
from hypothesis.strategies import booleans, integers
from joserfc.jwk import OKPKey

from federation import jose
from federation.identity.document import Identity, OnlineKey, RevokedKey, open_identity
from federation.partners.limits import PartnerError
from federation.partners.partner import Puller
from federation.partners.source import WirePage
from federation.publications.chain import ChainEnd
from federation.publications.entries import digest
from federation.publications.heads import BadHead, SignedHead, contradiction, open_head, sign_head
from federation.publications.ledger import Beginning, LedgerFault, LedgerState
from federation.publications.recovery import compare_with_seen
from federation.publications.signing import seen_by_partners
from store.agreed import seen_heads
from store.agreements import InstalledAgreement
from store.identities import identity_of, save_own_identity
from store.partner_coverage import covered_hash
from store.partner_heads import contradictions, newest_head
from tests.federation.identity.cities import DAY, NOW, online
from tests.federation.machine import holds
from tests.federation.renewing import Renewing
from tests.federation.talking import IMPORT, QUICK, US, Reply, TalkingCity, agree, agreed

SOUND = 4
"""The city is not restored and tells no other story before it has published more than so much."""
METRIC = IMPORT.name
_LOG = "6c1f2c1e-8f2a-4b6e-9d57-0a4f4f1c2b3d"
_SHOWN = 10


class Word:
    """What a city says, without a network. `asked`: the cities of which it was asked what it has seen."""

    resumes = True

    def __init__(self, city: TalkingCity) -> None:
        self.city = city
        self.asked: list[str] = []

    def ask(self, path: str, **query: str) -> Reply:
        return self.city.answer(path, query, None)

    def forget(self) -> None:
        pass

    async def identity(self) -> str | None:
        return self.ask("/v1/identity").body.decode()

    async def facts(self) -> bytes | None:
        return self.ask("/v1/catalog").body

    async def head(self) -> str | None:
        return self.ask("/v1/head").body.decode() or None

    async def entries(self, after: str | None) -> WirePage | None:
        return self.page(self.ask("/v1/entries", after=after or "0", limit="100"))

    async def bodies(self, metric: str, after: int) -> WirePage | None:
        return self.page(self.ask("/v1/bodies", metric=metric, after=str(after), limit="100"))

    def page(self, reply: Reply) -> WirePage:
        return WirePage(reply.body, reply.headers["Sistercity-Next"])

    async def catalogue(self, hash_: str) -> bytes:
        return self.ask(f"/v1/catalogues/{hash_}").body

    async def heads(self, thumbprint: str) -> list[str]:
        self.asked.append(thumbprint)
        return self.ask(f"/v1/heads/{thumbprint}").body.decode().splitlines()


@dataclass(frozen=True)
class OwnHead:
    """A head of ours: its key, and the end of the chain that it names."""

    number: int
    key: str
    end: ChainEnd


class Witnessing(Renewing):
    """The city and we may each tell the witness what we tell nobody else."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.signed: set[str] = set()
        self.covers: dict[str, int] = {}
        self.one_story = True
        self.witness = TalkingCity("lund")
        self.witness.say(0)
        self.with_witness = agreed(self.witness, "http://127.0.0.1:1/", id="B" * 22, witness=True)
        agree(self.ground.url, self.with_witness)
        self.ledger: list[str | None] = []
        self.begins_after = 0
        self.written = 0
        self.own_keys = [jose.new_key()]
        self.own_gone: list[RevokedKey] = []
        self.own_shown: dict[str, OwnHead] = {}
        self.own_known: dict[int, OwnHead] = {}
        self._list_own_keys()

    def sign(self) -> None:
        """Numbers rise, also over a restore: they come from a clock."""
        self.number += 1
        head = self.city.sign(number=self.number)
        self.signed.add(head)
        end = self.city.end(METRIC)
        self.covers[head] = 0 if end is None else end.sequence

    def pulled(self, agreement: InstalledAgreement, word: Word) -> str | None:
        """Pull; why it was refused, if it was."""

        async def pull() -> str | None:
            puller = Puller(agreement, word, self.ground.threads, replace(QUICK, lines=100), lambda: NOW, 60.0)
            try:
                done = await puller.pull()
            except PartnerError as error:
                return error.reason
            return next(iter(done.refused.values()), None)

        self.touch("received")
        return self.ground.loop.run(pull())

    # What the witness sees.

    @rule()
    def show_witness(self) -> None:
        """The witness pulls what the city tells everyone."""
        self._show(self.city.keys.thumbprint, self.city.heads[-1])

    @precondition(lambda self: len(self.city.published) > SOUND)
    @rule(again=booleans(), back=integers(0, 2))
    def tell_witness_another_story(self, again: bool, back: int) -> None:
        """In a head of a number of its own, or of the newest number again; about the newest entry or an older one."""
        self.number += not again
        end = self.city.end(METRIC)
        assert end is not None
        ends = {METRIC: ChainEnd(end.sequence - back, digest(b"another"))}
        other = self.city.sign(number=self.number, ends=ends)
        del self.city.heads[-1]
        self.signed.add(other)
        self.one_story = False
        self._show(self.city.keys.thumbprint, other)

    def _show(self, thumbprint: str, head: str) -> None:
        self.witness.seen[thumbprint] = [head, *self.witness.seen.get(thumbprint, [])][:_SHOWN]

    # What we are told.

    @rule()
    def ask_witness(self) -> None:
        provable = self._provable()
        word = Word(self.witness)
        assert self.pulled(self.with_witness, word) is None
        assert {US.thumbprint, self.witness.keys.thumbprint} & set(word.asked) == {US.thumbprint}
        if provable:
            assert contradictions(self.connection), "another story that a partner was told is found"
        gone = {each.kid for each in self.own_gone}
        for document in self.witness.seen.get(US.thumbprint, []):
            if (head := self.own_shown[document]).key not in gone:
                self.own_known[head.number] = head

    def _provable(self) -> bool:
        """Whether one of the heads that the witness shows contradicts what the city has told us."""
        city = self.city.keys.thumbprint
        stored, newest = identity_of(self.connection, city), newest_head(self.connection, city, city)
        if stored is None or newest is None:
            return False
        identity = open_identity(stored, pinned=city, now_ms=None)
        told = _opened([newest.document], identity)
        shown = _opened(self.witness.seen.get(city, []), identity)
        for head in shown if told else []:
            end = head.ends[METRIC]
            stored_hash = covered_hash(self.connection, city, METRIC, end.sequence)
            if contradiction(told[0], head) is not None or stored_hash not in (None, end.hash):
                return True
        return False

    @holds("received")
    def whoever_told_one_story_is_not_accused_and_both_pieces_of_two_are_kept(self) -> None:
        found = contradictions(self.connection)
        assert not (self.one_story and found)
        identity = open_identity(self.city.identity, pinned=None, now_ms=None)
        for each in found:
            assert each.thumbprint == self.city.keys.thumbprint
            assert each.first != each.second and {each.first, each.second} <= self.signed
            heads = _opened([each.first, each.second], identity)
            if len(heads) == 2 and contradiction(*heads) is None:
                assert each.sequence and heads[0].ends[METRIC].sequence >= each.sequence - 1, "the first covers it"

    @holds("received", "agreements")
    def what_was_seen_is_shown_where_witness_is_agreed(self) -> None:
        city, held = self.city.keys.thumbprint, self.held()
        seen = newest_head(self.connection, city)
        assert seen_heads(self.connection, self.with_witness.id, city)[:1] == ([seen.document] if seen else [])
        known = newest_head(self.connection, self.witness.keys.thumbprint)
        shown = seen_heads(self.connection, self.id, self.witness.keys.thumbprint)
        assert bool(shown) == (held is not None and held.witness and known is not None)

    # What we publish, and what is seen of it.

    @rule(shown=booleans())
    def publish_of_ours(self, shown: bool) -> None:
        if self._own_fault() is not None:
            return
        self.touch("ours")
        self.written += 1
        self.ledger.append(digest(str(self.written).encode()))
        end = self._own_end()
        document = sign_head(
            self.own_keys[-1],
            city=US.city,
            log=_LOG,
            number=self.written,
            position=len(self.ledger),
            ends={METRIC: end},
            audit=None,
            now_ms=NOW,
        )
        if shown:
            self.own_shown[document] = OwnHead(self.written, jose.thumbprint(self.own_keys[-1]), end)
            self._show(US.thumbprint, document)

    @rule(lost=integers(1, 3))
    def restore_ours(self, lost: int) -> None:
        """Ledger and database together; never to before the last resumption."""
        self.touch("ours")
        del self.ledger[max(self.begins_after, len(self.ledger) - lost) :]

    @rule()
    def resume_ours(self) -> None:
        """On command we go on, with another ledger, after what we and partners know."""
        if self._own_fault() is not None:
            self.touch("ours")
            skipped = max([len(self.ledger), *(head.end.sequence for head in self._own_seen())])
            self.ledger = [*[None] * skipped, digest(b"skipped")]
            self.begins_after = len(self.ledger)

    @rule()
    def revoke_own_key(self) -> None:
        self.own_gone.append(RevokedKey(jose.thumbprint(self.own_keys[-1]), NOW, "stolen"))
        self.own_keys.append(jose.new_key())
        self._list_own_keys()

    def _list_own_keys(self) -> None:
        self.touch("ours")
        listed: Sequence[OnlineKey] = [_publishing(key) for key in self.own_keys]
        version = len(self.own_keys) + 1
        document = US.document(version, keys=[*listed, online("access", US.access)], revoked=self.own_gone)
        save_own_identity(self.connection, US.thumbprint, US.city, version, document, NOW + 90 * DAY)

    @holds("received", "ours")
    def a_restored_publisher_stops_in_words_where_partners_have_seen_more_or_something_else(self) -> None:
        expected = None
        for head in self._own_seen():
            if head.end.sequence > len(self.ledger):
                expected = f"partners have seen publication {head.end.sequence} of {METRIC}"
            elif self.ledger[head.end.sequence - 1] not in (None, head.end.hash):
                expected = f"partners have seen another publication {head.end.sequence} of {METRIC}"
            if expected:
                break
        fault = self._own_fault()
        assert fault is None if expected is None else fault is not None and expected in fault

    def _own_seen(self) -> list[OwnHead]:
        """The heads of ours that we know to be seen, by keys that still count, the newest first."""
        gone = {each.kid for each in self.own_gone}
        known = sorted(self.own_known.values(), key=lambda head: head.number, reverse=True)
        return [head for head in known if head.key not in gone]

    def _own_end(self) -> ChainEnd:
        return ChainEnd(len(self.ledger), self.ledger[-1] if self.ledger else None)

    def _own_fault(self) -> str | None:
        state = LedgerState(Beginning(US.city, _LOG), len(self.ledger), {METRIC: self._own_end()})
        hashes = {(METRIC, number): hash_ for number, hash_ in enumerate(self.ledger, 1) if hash_ is not None}
        try:
            compare_with_seen(seen_by_partners(self.connection), state, hashes)
        except LedgerFault as fault:
            return str(fault)
        return None


def _publishing(key: OKPKey) -> OnlineKey:
    return online("publish", key)


def _opened(documents: Sequence[str], identity: Identity) -> list[SignedHead]:
    found = []
    for document in documents:
        with suppress(BadHead):
            found.append(open_head(document, identity, None))
    return found
