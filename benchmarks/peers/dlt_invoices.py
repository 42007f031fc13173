"""dlt, the usual way: a resource yields checked dicts with nested lines, merged by primary key.

Runs in an environment of its own: `python dlt_invoices.py DATA URL WORK_FOLDER`.
"""

import csv
import sys
from decimal import Decimal
from pathlib import Path

import dlt
import orjson

STATUS = {"open": "POSTED", "paid": "SETTLED", "void": "CANCELLED", "past_due": "OVERDUE"}
CURRENCIES = {"USD", "EUR", "GBP", "CHF", "SEK", "CAD", "AUD", "SGD", "INR", "JPY"}
PAGE = 1000


def judged(row, customers):
    """The row as the target wants it, or None when it breaks a rule."""
    customer = customers.get(row["customer"])
    if row["currency"] not in CURRENCIES or customer is None:
        return None
    lines, subtotal = [], Decimal(0)
    for one in row["lines"]:
        quantity, price = Decimal(one["qty"]), Decimal(one["unit_price"])
        amount = Decimal(one["amount"])
        if quantity * price != amount:
            return None
        subtotal += amount
        lines.append(
            {
                "line_no": one["no"],
                "sku": one["sku"],
                "description": one["description"],
                "qty": quantity,
                "unit_price": price,
                "amount": amount,
            }
        )
    tax, total = Decimal(row["tax"]), Decimal(row["total"])
    if subtotal != Decimal(row["subtotal"]) or subtotal + tax != total:
        return None
    return {
        "invoice_id": row["id"],
        "version": row["version"],
        "customer_id": customer,
        "currency": row["currency"],
        "status": STATUS[row["status"]],
        "issue_date": row["issue_date"],
        "due_date": row["due_date"],
        "period": row["issue_date"][:7],
        "subtotal": subtotal,
        "tax": tax,
        "total": total,
        "updated_at": row["updated_at"],
        "lines": lines,
    }


def main():
    data, url, work = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    with (data / "customers.csv").open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        customers = {code: int(number) for code, number in rows}
    money = {"data_type": "decimal", "precision": 18, "scale": 2}

    @dlt.resource(
        name="invoice",
        write_disposition="merge",
        primary_key="invoice_id",
        columns={
            "subtotal": money,
            "tax": money,
            "total": money,
            "version": {"dedup_sort": "desc", "data_type": "bigint"},
        },
    )
    def invoices():
        page = []
        with (data / "invoices.jsonl").open("rb") as file:
            for line in file:
                row = judged(orjson.loads(line), customers)
                if row is not None:
                    page.append(row)
                if len(page) == PAGE:
                    yield page
                    page = []
        yield page

    pipeline = dlt.pipeline(
        pipeline_name="invoices",
        pipelines_dir=work,
        destination=dlt.destinations.postgres(credentials=url),
        dataset_name="dlt_invoices",
    )
    pipeline.run(invoices())


if __name__ == "__main__":
    main()
