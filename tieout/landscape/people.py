"""Who is meant by "controllers" or "elena" in a rule, and whether somebody is among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tieout.landscape.schema import Person


def meant(words: str, people: Mapping[str, Person]) -> str:
    """The role or the person that these words name ("finance_director", "controllers", "elena");
    "" where nobody among the people has that role or name."""
    if words in people:
        return words
    roles = {role for one in people.values() for role in one.roles}
    role = words.replace("_", " ")
    return next((one for one in (role, role.removesuffix("s")) if one in roles), "")


def is_among(person: Person, named: Iterable[str]) -> bool:
    """Whether the person is one of these, or has one of these roles."""
    return any(one == person.name or one in person.roles for one in named)


def same_person(person: Person, words: str) -> bool:
    """Whether a source system's words for somebody (a name, an address) mean this person."""
    said = words.strip().casefold()
    return bool(said) and said in {
        person.name.casefold(),
        person.email.casefold(),
        person.title.casefold(),
    }
