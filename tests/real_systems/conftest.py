"""One real Tryton for all tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real_systems.tryton_documents import GOODS, HOME, PARTY, Books, create
from tieout.connectors.tryton import CONNECTOR
from tieout.emulators.tryton_server import tryton_server
from tieout.finance.outcome import Written


@pytest.fixture(scope="session")
def books() -> Iterator[Books]:
    with tryton_server(HOME) as server:
        at = server.session()
        writes = [
            create("product", f"product-{n}", {"code": f"P{n}", "name": f"Tea {n}", **GOODS})
            for n in (1, 2)
        ]
        assert CONNECTOR.write(at, "product", writes) == [Written(""), Written("")]
        products = [found.target_id for found in CONNECTOR.find(at, "product", writes).values()]
        party = create("party", "customer-ALFKI", {**PARTY, "code": "ALFKI"})
        [made] = CONNECTOR.write(at, "party", [party])
        assert isinstance(made, Written)
        yield Books(server, at, made.target_id, products)
