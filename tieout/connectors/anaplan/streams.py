"""What Anaplan offers here: one stream of booking lines, a cell row per order line."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.ports.connector import Field, Idempotency, Stream

BOOKINGS = "bookings"
IN_FLIGHT_SECONDS = 60.0  # an import that was started without our hearing of it has ended by then

ROW_FIELDS = (
    Field("code", "text", "Booking line: order and line number"),
    Field("order_id", "text", "Order the line belongs to"),
    Field("line", "text", "Line number"),
    Field("legal_entity", "text", "Legal entity, an item of the model's list"),
    Field("period", "text", "Period label of the model's timescale"),
    Field("currency", "text", "Transaction currency"),
    Field("product", "text", "Product code"),
    Field("quantity", "quantity", "Quantity"),
    Field("value", "amount", "Value in transaction currency"),
    Field("value_group", "amount", "Value in group currency"),
)

STREAMS: Mapping[str, Stream] = {
    BOOKINGS: Stream(
        name=BOOKINGS,
        title="Booking lines",
        fields=(
            *ROW_FIELDS,
            Field("status", "text", "Active, Removed or Cancelled"),
            Field("model_serial", "integer", "Save of the model the line was read from"),
            Field("rows", "list", "Every line of one order (when written)", fields=ROW_FIELDS),
        ),
        key="code",
        version="model_serial",
        reads=True,
        writes=True,
        idempotency=Idempotency("A", in_flight_seconds=IN_FLIGHT_SECONDS),
        facts=({"rows": "text", "amount": "amount", "amount_group": "amount", "currency": "text"}),
        most_writes_per_call=5000,
        most_in_flight=1,
    )
}

SETTINGS: Mapping[str, str] = {
    "base_url": "address of the API, e.g. https://api.anaplan.com",
    "auth_url": "address of the authentication service, e.g. https://auth.anaplan.com",
    "workspace_id": "workspace of the planning model (32 hex digits)",
    "model_id": "planning model (32 hex digits)",
    "bookings_file_id": "file object that the bookings import reads (113…)",
    "bookings_import_id": "import that loads bookings by code, replacing values (112…)",
    "bookings_view_id": "module or saved view that shows every booking line (102…)",
    "chunk_bytes": "optional: size of one uploaded chunk, default 10000000",
    "page_rows": "optional: booking lines handed on at a time, default 5000",
    "poll_seconds": "optional: wait between looks at a running import, default 5",
}

SECRETS: Mapping[str, str] = {
    "email": "sign-in name of the integration user",
    "password": "password of the integration user",
}
