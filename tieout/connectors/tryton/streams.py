"""What Tryton offers: parties, products, sales and customer invoices, and how a repeat behaves."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.ports.connector import Field, Idempotency, Stream

MODIFIED = Field("modified", "timestamp", "Last change", required=True)
ID = Field("id", "text", "Tryton id", required=True)

PARTY = Stream(
    "party",
    "Party",
    (ID, Field("code", title="Code"), Field("name", title="Name"), MODIFIED),
    version="modified",
    reads=True,
    writes=True,
    # Unique constraint party.party(code): "The code on party must be unique."
    idempotency=Idempotency("A"),
    facts={"name": "text", "code": "text"},
    most_writes_per_call=50,
)

PRODUCT = Stream(
    "product",
    "Product",
    (ID, Field("code", title="Code"), Field("name", title="Name"), MODIFIED),
    version="modified",
    reads=True,
    writes=True,
    # Exclusion constraint product.product(code) among active products.
    idempotency=Idempotency("A"),
    facts={"name": "text", "code": "text"},
    most_writes_per_call=50,
)

SALE = Stream(
    "sale",
    "Sale",
    (
        ID,
        Field("number", title="Order number"),
        Field("reference", title="Our reference"),
        Field("state", title="State"),
        Field("status", title="Open, Confirmed, or Cancelled with every invoice of it"),
        Field("invoice_state", title="Invoice state"),
        Field("company", title="Company"),
        Field("currency", title="Currency"),
        Field("party", title="Customer code"),
        Field("sale_date", "date", "Order date"),
        Field("total_amount", "amount", "Total"),
        MODIFIED,
    ),
    version="modified",
    reads=True,
    writes=True,
    # Searchable by reference the moment it commits, never unique. The bound is how long the server
    # may still work on a request whose caller gave up. Outliving it is harmless: a late request
    # creates a draft only, and one draft alone is ever confirmed (see documents.sale_chain).
    idempotency=Idempotency("B", in_flight_seconds=2.0),
    facts={
        "amount": "amount",
        "currency": "text",
        "date": "date",
        "company": "text",
        "party": "text",
        "lines": "text",
        "status": "text",
    },
    most_writes_per_call=20,
)

INVOICE = Stream(
    "invoice",
    "Customer invoice",
    (
        ID,
        Field("number", title="Invoice number"),
        Field("reference", title="Our reference"),
        Field("state", title="State"),
        Field("company", title="Company"),
        Field("currency", title="Currency"),
        Field("invoice_date", "date", "Invoice date"),
        Field("accounting_date", "date", "Accounting date"),
        Field("total_amount", "amount", "Total"),
        Field("reverses", title="Reference of the invoice this one credits"),
        MODIFIED,
    ),
    version="modified",
    reads=True,
    writes=True,
    posts=True,
    # Processing a sale makes its one invoice inside Tryton; posting is a transition of that very
    # document, and Tryton refuses it twice. A credit with refund cancels it, once, in one call.
    idempotency=Idempotency("A"),
    facts={
        "amount": "amount",
        "currency": "text",
        "date": "date",
        "status": "text",
    },
    most_writes_per_call=20,
    most_in_flight=1,  # a numbering sequence without gaps is locked by whoever posts
)

STREAMS: Mapping[str, Stream] = {stream.name: stream for stream in (PARTY, PRODUCT, SALE, INVOICE)}
