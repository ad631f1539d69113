"""The organization behind the Drift sandbox: people, accounts, conversations and what was said in them.

Rule 1: everything follows from (seed, scale, today). Two sandboxes with the same settings answer the same bytes.
Rule 2: ids refer. A conversation's contact, participants and playbook exist, with one exception kept on purpose:
    a few contacts have been deleted since (the vendor answers 404 for them, conversations keep the id).
Rule 3: an unset field is absent, never null. Whether an optional field is there follows from the record's index, so
    each listed field occurs, and is missing, somewhere even in a small sandbox.
Rule 4: all times are epoch milliseconds in UTC. What can change did so in the 90 complete days before `today`.
    A conversation's `createdAt` and `updatedAt` are the times of its first and last message. Users, accounts and
    playbooks may have been created earlier; meetings may lie up to two weeks ahead, and some lie behind the horizon.

Messages are by far the most records, so a conversation's are made when they are asked for, from a generator seeded
with the conversation's id: a million cost nothing to hold and a few seconds to make.
"""

import json
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random
from typing import Any
from uuid import UUID

from connector_resources.sandbox.data import COMPANIES

Record = dict[str, Any]

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

HISTORY_DAYS = 90
ORG_ID = 482_913
INBOX_IDS = (55_021, 55_022, 55_030)

# Ids grow with creation time, as the vendor's do; the strides leave gaps that answer 404.
FIRST_USER, FIRST_TEAM, FIRST_PLAYBOOK = 21_965, 7_301, 310_200
FIRST_CONTACT, CONTACT_STRIDE = 8_876_500_000, 137
FIRST_CONVERSATION, CONVERSATION_STRIDE = 3_131_000_000, 7
# A message's id and its attachment's say which conversation they belong to: no index of a million ids is needed.
FIRST_MESSAGE, FIRST_ATTACHMENT, MESSAGE_STRIDE = 5_550_000_000_000, 9_911_000_000, 10_000

USERS = (
    ("Ines Roy", "ines.roy", "Europe/Paris", "fr-FR"),
    ("Tomás Ibáñez", "tomas.ibanez", "Europe/Madrid", "es-ES"),
    ("Zoë Müller", "zoe.mueller", "Europe/Berlin", "de-DE"),
    ("Noah Adeyemi", "noah.adeyemi", "America/New_York", "en-US"),
    ("佐藤 美咲", "misaki.sato", "Asia/Tokyo", "ja-JP"),
    ("Priya Raman", "priya.raman", "Asia/Kolkata", "en-IN"),
    ("Łukasz Żak", "lukasz.zak", "Europe/Warsaw", "pl-PL"),
    ("Sofía Núñez", "sofia.nunez", "America/Mexico_City", "es-MX"),
    ("Ada O'Brien", "ada.obrien", "Europe/Dublin", "en-IE"),
    ("Mehmet Çelik", "mehmet.celik", "Europe/Istanbul", "tr-TR"),
    ("Grace Kim", "grace.kim", "America/Los_Angeles", "en-US"),
    ("Welcome Bot 🤖", "bot", "UTC", "en-US"),
)
PEOPLE = (
    ("Lea", "Blum", "lea.blum"),
    ("Søren", "Ærø", "soren.aeroe"),
    ("李", "伟", "wei.li"),
    ("Мария", "Иванова", "maria.ivanova"),
    ("José", "García", "jose.garcia"),
    ("Aoife", "Ní Bhriain", "aoife"),
    ("Anaïs", "Lefèvre", "anais.lefevre"),
    ("Omar", "الفاسي", "omar.elfassi"),
    ("Björk", "Jónsdóttir", "bjork"),
    ("Nguyễn", "Thị Hoa", "hoa.nguyen"),
    ("Emma", "Brown", "emma.brown"),
    ("Κώστας", "Παππάς", "kostas"),
    ("Dmitri", "O’Neil", "dmitri"),
    ("Chloé", "Dubois", "chloe.dubois"),
    ("Ravi", "शर्मा", "ravi.sharma"),
    ("Hana", "Nováková", "hana.novakova"),
    ("John", "Smith", "john.smith"),
)
PLACES = (
    ("Lyon", "ARA", "FR", "France", "69001", 45.76, 4.83, "Europe/Paris"),
    ("Zürich", "ZH", "CH", "Switzerland", "8001", 47.37, 8.54, "Europe/Zurich"),
    ("São Paulo", "SP", "BR", "Brazil", "01000-000", -23.55, -46.63, "America/Sao_Paulo"),
    ("東京", "13", "JP", "Japan", "100-0001", 35.68, 139.69, "Asia/Tokyo"),
    ("Austin", "TX", "US", "United States", "78701", 30.27, -97.74, "America/Chicago"),
    ("Kraków", "MA", "PL", "Poland", "30-001", 50.06, 19.94, "Europe/Warsaw"),
)
PAGES = (
    ("pricing", "Pricing – Plans & prices"),
    ("", "Home"),
    ("product/tour", "Product tour | 60 seconds"),
    ("docs/api?ref=nav#auth", "API « docs"),
    ("blog/année-2026", "L’année 2026 en “revue”"),
)
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
)
ASKED = (
    "<p>Hello 👋</p>",
    "<p>Do you offer a plan for 40&nbsp;seats?</p>",
    "<p>Ça marche très bien, merci&nbsp;!</p>",
    "<p>見積もりをお願いします。</p>",
    "<p>My key returns <code>403</code> since this morning 😕</p>",
    "<p>Können wir nächste Woche sprechen?</p>",
    "<p>Is there a <b>SOC&nbsp;2</b> report?</p>",
    "<p>ok</p>",
    "<p>Line one<br>line two &amp; a “quote”</p>",
    "<p>¿Se puede exportar a CSV?</p>",
    "<p>We are a team of 1,250 — what would that cost?</p>",
    "<p>👩‍👩‍👧‍👦🏳️‍🌈 family plan?</p>",
)
ANSWERED = (
    "<p>Happy to help! 🎉</p>",
    '<p>See <a href="https://example.com/pricing?a=1&amp;b=2" target="_blank">our pricing</a>.</p>',
    "<p>Could you send me your work e-mail?</p>",
    "<ul><li>Starter</li><li>Team</li><li>Enterprise</li></ul>",
    "<p>Je regarde et je reviens vers vous.</p>",
    "<p>That is fixed now – please try again.</p>",
    "<p>Thanks, I have booked it.</p>",
    "<p>" + "We keep your data in one region, encrypted at rest and in transit. " * 12 + "</p>",
)
NOTED = (
    "<p>Seems a good fit, ARR ≈ 12 k€</p>",
    "<p>@ines please take over</p>",
    "<p>Competitor mentioned; see CRM</p>",
)
FILES = (
    ("quote.pdf", "application/pdf"),
    ("écran.png", "image/png"),
    ("report 2026.csv", "text/csv"),
    ("合同.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
)
TAGS = (
    {"name": "vip", "color": "#00AACC"},
    {"name": "bug 🐞", "color": "#CC0000"},
    {"name": "à rappeler", "color": "#FFAA00"},
    {"name": "pricing", "color": "#33AA33"},
)
PLAYBOOKS = (
    ("Book a meeting", "BOOK_MORE_MEETINGS"),
    ("Pricing page – skip the form", "CAPTURE_MORE_LEADS"),
    ("Démo en français 🇫🇷", "BOOK_MORE_MEETINGS"),
    ("Support triage", "DEFLECT_SUPPORT"),
    ("Webinar sign-up", "CAPTURE_MORE_LEADS"),
    ("Welcome back", "ENGAGE_VISITORS"),
    ("ABM: target accounts", "ENGAGE_VISITORS"),
    ("Out of office", "CAPTURE_MORE_LEADS"),
)
CUSTOM_PROPERTIES = (
    ("Seats", "seats", 40, "NUMBER"),
    ("Segment", "segment", "Mid-market", "STRING"),
    ("Billing e-mail", "billing_email", "billing@example.com", "EMAIL"),
    ("Success manager", "csm", FIRST_USER, "TEAMMEMBER"),
    ("Tier", "tier", "Gold", "ENUM"),
    ("Regions", "regions", ["EMEA", "APAC"], "ENUMARRAY"),
    ("Renewal", "renewal", "2027-03-01", "DATE"),
    ("Last review", "last_review", 1_767_225_600_000, "DATETIME"),
    ("Head office", "hq", "45.76,4.83", "LATLON"),
    ("Latitude", "latitude", 45.76, "LAT"),
    ("Longitude", "longitude", 4.83, "LON"),
    ("Switchboard", "switchboard", "+33 1 70 18 99 00", "PHONE"),
    ("Site", "site", "https://example.com/?q=é", "URL"),
)
CONTACT_ATTRIBUTES: list[Record] = [
    {"name": "email", "displayName": "Email", "type": "STRING"},
    {"name": "name", "displayName": "Name", "type": "STRING"},
    {"name": "phone", "displayName": "Phone", "type": "STRING"},
    {"name": "plan", "displayName": "Plan", "type": "STRING"},
    {"name": "seats", "displayName": "Seats", "type": "NUMERIC"},
    {"name": "is_customer", "displayName": "Is a customer", "type": "BOOLEAN"},
    {"name": "trial_end", "displayName": "Fin d’essai", "type": "DATETIME"},
    {"name": "renewal_date", "displayName": "Renewal date", "type": "DATE"},
]


@dataclass(slots=True)
class Conversation:
    """One conversation, without what was said: `size` messages by `said_until`, and those `added` since."""

    index: int
    id: int
    status: str
    contact_id: int
    created_at: int
    updated_at: int
    said_until: int
    size: int
    participants: tuple[int, ...]
    playbook_id: int | None
    added: list[Record] = field(default_factory=list)

    def listed(self) -> Record:
        """Return the six fields of the list."""
        return {
            "id": self.id,
            "status": self.status,
            "contactId": self.contact_id,
            "inboxId": INBOX_IDS[self.index % len(INBOX_IDS)],
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }

    def facts(self) -> dict[str, int | str | None]:
        """Return the report properties that need no message; None is "not yet"."""
        closed_at = self.said_until if self.status == "closed" else None
        return {
            "status": self.status,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "endUserId": self.contact_id,
            "relatedPlaybookId": self.playbook_id,
            "firstCloseAt": closed_at,
            "timeToCloseMillis": None if closed_at is None else closed_at - self.created_at,
        }

    def detailed(self) -> Record:
        """Return all fields; `orgId` and `relatedPlaybookId` are absent from some."""
        detail = self.listed()
        if self.index % 8:
            detail["orgId"] = ORG_ID
        detail["participants"] = list(self.participants)
        if self.playbook_id is not None:
            detail["relatedPlaybookId"] = self.playbook_id
        detail["conversationTags"] = list(TAGS[: self.index % 4])
        return detail


class Organization:
    """All records of one sandbox account; only `touch` changes anything."""

    def __init__(self, seed: int, scale: float, today: date) -> None:
        self.seed = seed
        self.end = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) * SECOND
        self.start = self.end - HISTORY_DAYS * DAY
        random = Random(f"drift {seed} {scale} {today}")
        self.users = self._make_users(random)
        self.agents = tuple(user["id"] for user in self.users if not user["bot"])
        self.bot = next(user["id"] for user in self.users if user["bot"])
        self.teams = self._make_teams(random)
        self.playbooks = self._make_playbooks(random)
        self.landing_pages: list[Record] = [
            {
                "playbookId": playbook["id"],
                "playbookName": playbook["name"],
                "landingPageUrl": f"https://meet.example.com/clp/{number}",
            }
            for number, playbook in enumerate(self.playbooks[:5], start=1)
        ]
        self.accounts = self._make_accounts(random, max(4, round(100 * scale)))
        reachable = max(3, round(54 * scale))
        unreachable = max(1, round(6 * scale))
        deleted = max(2, round(4 * scale))
        contact_ids = [FIRST_CONTACT + CONTACT_STRIDE * number for number in range(reachable + deleted + unreachable)]
        self.deleted_contacts = frozenset(contact_ids[reachable : reachable + deleted])
        talking, silent = contact_ids[: reachable + deleted], contact_ids[reachable + deleted :]
        conversations = self._make_conversations(random, max(8, round(80 * scale)), talking)
        self.contacts = self._make_contacts(random, conversations, talking, silent)
        self.meetings = self._make_meetings(random, conversations, max(4, round(30 * scale)))
        self.conversations = {conversation.id: conversation for conversation in conversations}
        # Newest first, ties by id ascending: the order of the list.
        self._order = sorted((-conversation.updated_at, conversation.id) for conversation in conversations)
        self._counts: dict[int, dict[str, int | None]] = {}
        self.touched = 0

    def newest_first(self, after: tuple[int, int] | None = None) -> Iterator[Conversation]:
        """Yield the conversations by `updatedAt` descending, then id, that follow (updatedAt, id)."""
        start = 0 if after is None else bisect_left(self._order, (-after[0], after[1] + 1))
        for position in range(start, len(self._order)):
            yield self.conversations[self._order[position][1]]

    def touch(self, conversation_id: int) -> Conversation:
        """Let the contact write once more, today: the conversation becomes the newest of all.

        The n-th touch happens n seconds after midnight of `today`, so it can be repeated exactly.
        """
        conversation = self.conversations[conversation_id]
        self.touched += 1
        now = self.end + self.touched * SECOND
        number = conversation.size + len(conversation.added)
        conversation.added.append(
            {
                "id": FIRST_MESSAGE + conversation.index * MESSAGE_STRIDE + number,
                "orgId": ORG_ID,
                "conversationId": conversation.id,
                "type": "chat",
                "body": f"<p>One more thing… ({self.touched})</p>",
                "author": {"id": conversation.contact_id, "type": "contact", "bot": False},
                "createdAt": now,
                "buttons": [],
                "attributes": {},
            }
        )
        del self._order[bisect_left(self._order, (-conversation.updated_at, conversation.id))]
        conversation.updated_at = now
        insort(self._order, (-now, conversation.id))
        self._counts.pop(conversation.id, None)
        return conversation

    def messages(self, conversation: Conversation) -> list[Record]:
        """Make the messages of `conversation`, oldest first, no two in the same millisecond."""
        random = Random(self.seed * 0x9E3779B1 + conversation.id)
        chance = random.random
        size, agents, contact = conversation.size, conversation.participants, conversation.contact_id
        times = [conversation.created_at]
        if size > 1:
            times += sorted(random.sample(range(conversation.created_at + 1, conversation.said_until), size - 2))
            times.append(conversation.said_until)
        first_id = FIRST_MESSAGE + conversation.index * MESSAGE_STRIDE
        offset = conversation.index
        place = PLACES[offset % len(PLACES)]
        made: list[Record] = []
        last_answer: int | None = None
        for number, created in enumerate(times):
            message: Record = {
                "id": first_id + number,
                "orgId": ORG_ID,
                "conversationId": conversation.id,
                "type": "chat",
            }
            turn = number + offset
            by_contact = chance() < 0.5 if number else conversation.playbook_id is None
            if conversation.status == "bulk_sent":
                by_contact = False
            author_id = contact if by_contact else agents[int(chance() * len(agents))] if agents else self.bot
            if not by_contact and conversation.playbook_id is not None and number < 3:
                author_id = self.bot
            is_bot = author_id == self.bot
            texts = ASKED if by_contact else ANSWERED
            body: str | None = texts[int(chance() * len(texts))]
            buttons: list[Record] = []
            attributes: Record = {}
            if by_contact:
                if turn % 9 == 4:
                    attributes = {"preMessages": [{"body": "Hi there 👋", "sender": {"id": self.bot}}]}
            elif is_bot:
                buttons = _buttons(turn)
                attributes = {"developer_app_id": 310} if turn % 2 else {}
            elif turn % 11 == 3:
                message["type"], body = "private_note", NOTED[turn % len(NOTED)]
            elif turn % 43 == 7:
                message["type"] = "private_prompt"
            elif turn % 13 == 5 and last_answer is not None:
                kind = ("delete", "replace", "replace_body", "replace_buttons")[number // 2 % 4]
                message["type"], message["editedMessageId"], message["editType"] = "edit", last_answer, kind
                if kind == "delete":
                    body = None
                elif kind == "replace_buttons":
                    buttons = _buttons(turn)
            if turn % 19 == 6 and message["type"] == "chat":
                name, mime_type = FILES[turn % len(FILES)]
                attachment = FIRST_ATTACHMENT + conversation.index * MESSAGE_STRIDE + number
                message["attachments"] = [
                    {
                        "id": attachment,
                        "fileName": name,
                        "mimeType": mime_type,
                        "url": f"https://driftapi.com/attachments/{attachment}/data",
                    }
                ]
                if turn % 2:
                    body = None
            if body is not None:
                message["body"] = body
            message["author"] = {"id": author_id, "type": "contact" if by_contact else "user", "bot": is_bot}
            message["createdAt"] = created
            message["buttons"] = buttons
            if by_contact:
                message["context"] = _context(turn, contact, place)
            message["attributes"] = attributes
            if not by_contact and message["type"] == "chat":
                last_answer = first_id + number
            made.append(message)
        made += conversation.added
        return made

    def attachment(self, attachment_id: int) -> tuple[Record, bytes] | None:
        """Return an attachment's description and its bytes, or None if there is no such attachment."""
        index, number = divmod(attachment_id - FIRST_ATTACHMENT, MESSAGE_STRIDE)
        conversation = self.conversations.get(FIRST_CONVERSATION + index * CONVERSATION_STRIDE)
        if conversation is None or number >= conversation.size:
            return None
        for attachment in self.messages(conversation)[number].get("attachments", ()):
            content = f"{attachment['fileName']}\n".encode() * (1 + attachment_id % 50)
            return attachment, content
        return None

    def counts(self, conversation: Conversation) -> dict[str, int | None]:
        """Return the report properties that only the messages of `conversation` know; None is "nothing yet"."""
        known = self._counts.get(conversation.id)
        if known is not None:
            return known
        asked = agent = bot = 0
        first_asked = first_agent = last_agent = None
        for message in self.messages(conversation):
            author = message["author"]
            if author["type"] == "contact":
                asked += 1
                first_asked = message["createdAt"] if first_asked is None else first_asked
            elif author["bot"]:
                bot += 1
            else:
                agent += 1
                last_agent = author["id"]
                first_agent = message["createdAt"] if first_agent is None else first_agent
        waited: int | None = None
        if first_agent is not None and first_asked is not None and first_agent >= first_asked:
            waited = first_agent - first_asked
        counts = {
            "lastAgentId": last_agent,
            "timeToAgentResponseMillis": waited,
            "firstAgentMessageAt": first_agent,
            "numAgentMessages": agent,
            "numBotMessages": bot,
            "numEndUserMessages": asked,
        }
        self._counts[conversation.id] = counts
        return counts

    def _changed(self, random: Random) -> int:
        """Draw a moment of the history."""
        return self.start + int(random.random() * (self.end - self.start))

    def _make_users(self, random: Random) -> list[Record]:
        users: list[Record] = []
        for index, (name, alias, zone, locale) in enumerate(USERS):
            user: Record = {"id": FIRST_USER + index * 31, "orgId": ORG_ID}
            if index != 9:
                user["name"] = name
            if index % 3:
                user["alias"] = name.split()[0]
            if alias != "bot":
                user["email"] = f"{alias}@headrace.example"
            if index % 4 == 1:
                user["phone"] = f"+1 555 01{index:02d}"
            if index % 5 != 4:
                user["locale"] = locale
            user["availability"] = ("AVAILABLE", "OFFLINE", "ON_CALL")[index % 3]
            user["role"] = "admin" if index == 0 else ("agent", "member")[index % 2]
            if index % 6 != 5:
                user["timeZone"] = zone
            if index % 2 == 0:
                user["avatarUrl"] = f"https://cdn.example.com/avatars/{alias}.png?s=128"
            user["verified"] = index != 7
            user["bot"] = alias == "bot"
            user["createdAt"] = self.start - 300 * DAY + index * 20 * DAY + int(random.random() * DAY)
            user["updatedAt"] = self._changed(random)
            users.append(user)
        return users

    def _make_teams(self, random: Random) -> list[Record]:
        workspace = str(UUID(int=random.getrandbits(128), version=4))
        teams: list[Record] = []
        for index, name in enumerate(("Sales EMEA", "Support 🛟", "Équipe fermée")):
            members = self.agents[index * 3 : index * 3 + 5]
            team: Record = {
                "id": FIRST_TEAM + index,
                "orgId": ORG_ID,
                "workspaceId": workspace,
                "name": name,
                "updatedAt": self._changed(random),
                "members": list(members),
                "owner": members[0],
                "status": "ARCHIVED" if index == 2 else "ENABLED",
                "main": index == 0,
                "autoOffline": index == 1,
                "teamAvailabilityMode": ("CUSTOM_HOURS", "ALWAYS_ONLINE", "ALWAYS_OFFLINE")[index],
                "responseTimerEnabled": index == 1,
            }
            if index != 2:
                team["teamCsatEnabled"] = index == 0
            teams.append(team)
        return teams

    def _make_playbooks(self, random: Random) -> list[Record]:
        playbooks: list[Record] = []
        for index, (name, report_type) in enumerate(PLAYBOOKS):
            playbook: Record = {
                "id": FIRST_PLAYBOOK + index * 17,
                "name": name,
                "orgId": ORG_ID,
                "meta": {"category": report_type.lower(), "version": index + 1} if index % 4 else {},
                "createdAt": self.start - 200 * DAY + index * 20 * DAY + int(random.random() * DAY),
                "updatedAt": self._changed(random),
                "createdAuthorId": self.agents[index % len(self.agents)],
                "interactionId": 640_100 + index * 3,
                "reportType": report_type,
                "goals": [
                    {"id": str(UUID(int=random.getrandbits(128), version=4)), "message": message}
                    for message in ("Meeting booked", "E-mail captured ✉️")[: index % 3]
                ],
            }
            if index % 3:
                playbook["updatedAuthorId"] = self.agents[(index + 4) % len(self.agents)]
            playbooks.append(playbook)
        return playbooks

    def _make_accounts(self, random: Random, count: int) -> list[Record]:
        accounts: list[Record] = []
        for index in range(count):
            again, which = divmod(index, len(COMPANIES))
            company, domain = COMPANIES[which]
            if again:  # a domain is unique: a larger sandbox knows the same companies' subsidiaries
                company, domain = f"{company} {again + 1}", f"unit{again + 1}.{domain}"
            updated = self._changed(random)
            account: Record = {"accountId": f"{ORG_ID}_{domain}"}
            if index % 6:
                account["ownerId"] = self.agents[int(random.random() * len(self.agents))]
            first = index % len(CUSTOM_PROPERTIES)
            account |= {
                "name": company,
                "domain": domain,
                "customProperties": [
                    {"label": label, "name": name, "value": value, "type": kind}
                    for label, name, value, kind in CUSTOM_PROPERTIES[first : first + index % 4]
                ],
                "deleted": index in (count // 3, count // 2),
                "createDateTime": updated - int(random.random() * 200 * DAY),
                "updateDateTime": updated,
                "targeted": index % 5 == 0,
            }
            accounts.append(account)
        return accounts

    def _make_conversations(self, random: Random, count: int, talking: list[int]) -> list[Conversation]:
        # An exact last page (50), two exact pages (100), one of four pages, then the usual mixture.
        sizes = [168, 50, 100]
        for index in range(3, count):
            if index % 14 == 9:
                sizes.append(1)
            elif index % 13 == 5:
                sizes.append(random.randint(51, 120))
            else:
                sizes.append(random.randint(6, 50))
        spans: list[tuple[int, int, int]] = []
        sent = 0
        for index, size in enumerate(sizes):
            if size == 1:
                # Mass mailings: three conversations each, started in the same millisecond.
                if index // 14 % 3 == 0:
                    sent = self._changed(random)
                spans.append((sent, sent, size))
                continue
            length = int(size * (20 * SECOND + random.random() * 20 * MINUTE))
            if index % 7 == 2:  # taken up again days later
                length += int(random.random() * 12 * DAY)
            room = self.end - self.start - length - 1
            created = self.start + int(random.random() * room)
            updated = created + length
            if index % 20 in (3, 4):  # the two sides of a day's edge
                back = updated % DAY + (index % 20 == 4)
                back -= DAY if created - back < self.start else 0
                created, updated = created - back, updated - back
            spans.append((created, updated, size))
        spans.sort()
        # Everyone talked once, the deleted contacts first of all, before anyone does again.
        owners = talking[::-1][:count]
        owners += random.choices(talking, k=count - len(owners))
        random.shuffle(owners)
        conversations: list[Conversation] = []
        for index, (created, updated, size) in enumerate(spans):
            is_bulk = size == 1
            if is_bulk:
                status = "bulk_sent"
            elif self.end - updated < 10 * DAY:
                status = ("open", "pending", "closed")[index % 3]
            else:
                status = "pending" if index % 23 == 5 else "open" if index % 11 == 4 else "closed"
            playbook = None
            if is_bulk or index % 5 < 3:
                playbook = self.playbooks[int(random.random() * len(self.playbooks))]["id"]
            alone = is_bulk or (playbook is not None and index % 10 == 1)
            conversations.append(
                Conversation(
                    index=index,
                    id=FIRST_CONVERSATION + index * CONVERSATION_STRIDE,
                    status=status,
                    contact_id=owners[index],
                    created_at=created,
                    updated_at=updated,
                    said_until=updated,
                    size=size,
                    participants=() if alone else tuple(random.sample(self.agents, 1 + index % 3)),
                    playbook_id=playbook,
                )
            )
        return conversations

    def _make_contacts(
        self, random: Random, conversations: list[Conversation], talking: list[int], silent: list[int]
    ) -> dict[int, Record]:
        seen: dict[int, tuple[int, int]] = {}
        for conversation in conversations:
            first, last = seen.get(conversation.contact_id, (conversation.created_at, 0))
            seen[conversation.contact_id] = first, max(last, conversation.updated_at)
        contacts: dict[int, Record] = {}
        email = ""
        for index, contact_id in enumerate([*talking, *silent]):
            if contact_id in self.deleted_contacts:
                continue
            moment = self._changed(random)
            first, last = seen.get(contact_id, (moment, moment))
            created = max(self.start, first - int(random.random() * DAY))
            given, family, local = PEOPLE[index % len(PEOPLE)]
            account = self.accounts[index % len(self.accounts)]
            if index % 15 != 14:  # every fifteenth came twice: e-mails are not unique
                suffix = f"+{index // len(PEOPLE)}" if index >= len(PEOPLE) else ""
                email = f"{local}{suffix}@{account['domain']}"
            attributes = _contact_attributes(index, email, f"{given} {family}", given, account["name"], created, last)
            contacts[contact_id] = {"id": contact_id, "createdAt": created, "attributes": attributes}
        return contacts

    def _make_meetings(self, random: Random, conversations: list[Conversation], count: int) -> list[Record]:
        held = [conversation for conversation in conversations if conversation.participants]
        begun = [conversation.created_at for conversation in held]
        meetings: list[Record] = []
        for index in range(count):
            if index % 10 == 9:  # behind the 30 days the API looks back: never answered
                start = self.end - int((31 + random.random() * 20) * DAY)
            elif index % 4 == 3:
                start = self.end + int((0.3 + random.random() * 13) * DAY)
            else:
                start = self.end - int((0.3 + random.random() * 29) * DAY)
            start -= start % (15 * MINUTE)
            length = (15, 30, 45, 60)[index % 4] * MINUTE
            # Booked in one of the last conversations begun before it.
            latest = min(start, self.end)
            position = max(1, bisect_left(begun, latest - HOUR))
            conversation = held[max(0, position - 1 - int(random.random() * 20))]
            booked = min(conversation.created_at, latest - HOUR)
            scheduled = booked + int(random.random() * (latest - booked))
            meeting: Record = {
                "agentId": conversation.participants[0],
                "orgId": ORG_ID,
                "schedulerId": conversation.contact_id,
                "conversationId": conversation.id,
                "slug": f"{USERS[index % 11][1].replace('.', '-')}-{length // MINUTE}",
                "status": "CANCELED" if index % 8 == 6 else "ACTIVE",
                "meetingSource": ("WIDGET", "EMAIL_DROP")[index % 2],
                "slotStart": start,
                "slotEnd": start + length,
                "scheduledAt": scheduled,
                "updatedAt": scheduled + int(random.random() * (latest - scheduled)),
            }
            if index % 5 != 4:
                meeting["eventId"] = f"evt_{self.seed}_{index:06d}"
            if index % 3:
                meeting |= {
                    "meetingSlug": f"meeting-{index}",
                    "isOrgSlug": index % 2 == 0,
                    "isRecurring": index % 7 == 1,
                    "isPrivate": index % 6 == 1,
                    "conferenceType": ("ZOOM", "GOOGLE_MEET")[index % 2],
                    "conferenceDetails": f"https://meet.example.com/j/{1000 + index}",
                }
            if index % 2:
                meeting["meetingType"] = "Intro call ☕"
                meeting["endUserTimeZone"] = PLACES[index % len(PLACES)][7]
            if index % 4 == 1:
                meeting["meetingNotes"] = "Wants to see the “export”\nand prices."
                meeting["bookedBy"] = str(conversation.participants[0])
            meetings.append(meeting)
        meetings.sort(key=_slot_start)
        return meetings


def _slot_start(meeting: Record) -> int:
    start: int = meeting["slotStart"]
    return start


def _buttons(turn: int) -> list[Record]:
    if turn % 3 == 2:
        return []
    return [
        {"label": "Book a call 📅", "value": "book", "type": ("reply", "compose")[turn % 2], "style": "primary"},
        {
            "label": "Non merci",
            "value": "no",
            "type": "action",
            "style": "danger",
            "reaction": {"type": ("replace", "delete")[turn // 3 % 2], "message": "OK, bye 👋"},
        },
    ]


def _context(turn: int, contact: int, place: tuple[Any, ...]) -> Record:
    path, title = PAGES[turn % len(PAGES)]
    city, region, country, country_name, postal_code, latitude, longitude, zone = place
    location: Record = {"city": city, "country": country, "countryName": country_name}
    if turn % 4:
        location["region"] = region
        location["postalCode"] = postal_code
    location["latitude"] = latitude
    location["longitude"] = longitude
    context: Record = {
        "ip": f"203.0.113.{contact % 254 + 1}",
        "userAgent": BROWSERS[contact % len(BROWSERS)],
        "href": f"https://example.com/{path}",
        "title": title,
        "referrer": "" if turn % 3 else "https://search.example.org/?q=chat%20with%20%C3%A9",
        "location": location,
    }
    if turn % 5 == 0:
        context["locale"] = "fr-FR"
        context["timezone"] = zone
    return context


def _contact_attributes(index: int, email: str, name: str, given: str, company: str, created: int, last: int) -> Record:
    city, region, country, country_name, *_ = PLACES[index % len(PLACES)]
    path, title = PAGES[index % len(PAGES)]
    attributes: Record = {"_END_USER_VERSION": 1 + index % 9, "_end_user_version": 1 + index % 9}
    if index % 12 != 11:
        attributes["email"] = email
    if index % 5 != 3:
        attributes["name"] = name
        attributes["first_name"] = given
    if index % 4 == 1:
        attributes["phone"] = f"+33 6 00 00 {index // 100 % 100:02d} {index % 100:02d}"
    if index % 3 == 0:
        attributes["externalId"] = f"crm-{index}"
    elif index % 3 == 1:
        attributes["external_id"] = f"crm-{index}"
    attributes |= {"tags": list(TAGS[: index % 3]), "events": {}, "socialProfiles": {}}
    if index % 6 == 2:
        attributes["events"] = {"signed_up": created}
        attributes["socialProfiles"] = {"linkedin": {"handle": f"in/p{index}", "bio": "Père, dev & 🎸"}}
    if index % 2:
        attributes["_calculated_version"] = index
        attributes["_classification"] = ("Engaged", "Bad Lead", "MQL")[index // 2 % 3]
    attributes["start_date"] = created
    attributes["last_active"] = last
    if index % 3 == 1:
        attributes["last_contacted"] = last
    if index % 4 != 3:
        attributes["ip"] = f"203.0.113.{index % 254 + 1}"
        attributes["original_ip"] = f"198.51.100.{index % 254 + 1}"
        attributes["last_context_location"] = json.dumps(
            {"city": city, "region": region, "country": country, "countryName": country_name},
            ensure_ascii=index % 2 == 0,
        )
        attributes["display_location"] = f"{city}, {country_name}"
        for moment in ("original", "recent"):
            for what in ("entrance_page", "conversation_started_page"):
                attributes[f"{moment}_{what}_url"] = f"https://example.com/{path}"
                attributes[f"{moment}_{what}_title"] = title
    if index % 5 == 2:
        attributes["original_referer_url"] = attributes["recent_referer_url"] = "https://search.example.org/"
        attributes["recent_source"], attributes["recent_medium"] = "google", "cpc"
    if index % 5 == 1:
        attributes["employment_name"], attributes["employment_title"] = company, "Head of Ops & “Things”"
    if index % 4 == 0:
        attributes["plan"] = ("Starter", "Équipe", "Enterprise")[index // 4 % 3]
        attributes["seats"] = 5 * index + (0.5 if index % 16 == 8 else 0)
        attributes["is_customer"] = index % 8 == 0
        attributes["trial_end"] = last + 14 * DAY
        attributes["renewal_date"] = f"2027-{index % 12 + 1:02d}-01"
    return attributes
