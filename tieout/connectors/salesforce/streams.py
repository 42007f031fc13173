"""What Salesforce offers: the objects of a sales organisation, their fields and their bounds."""

from __future__ import annotations

from collections.abc import Mapping

from tieout.ports.connector import Field, Idempotency, Stream

MOST_ROWS_PER_CALL = 200  # sObject Collections
CHANGED = "SystemModstamp"

_TAIL = (
    Field(CHANGED, "timestamp", "Last changed", required=True),
    Field("IsDeleted", "boolean", "In the recycle bin"),
)

_ACCOUNT = Stream(
    name="Account",
    title="Customer account",
    key="Id",
    version=CHANGED,
    reads=True,
    fields=(
        Field("Id", "text", "Record id", required=True),
        Field("Name", "text", "Name", required=True),
        Field("AccountNumber", "text", "Customer number"),
        Field("BillingStreet", "text", "Billing street"),
        Field("BillingCity", "text", "Billing city"),
        Field("BillingPostalCode", "text", "Billing postal code"),
        Field("BillingCountry", "text", "Billing country"),
        Field("Region__c", "text", "Sales region"),
        Field("CurrencyIsoCode", "text", "Currency"),
        *_TAIL,
    ),
)

_PRODUCT = Stream(
    name="Product2",
    title="Product",
    key="Id",
    version=CHANGED,
    reads=True,
    fields=(
        Field("Id", "text", "Record id", required=True),
        Field("ProductCode", "text", "Product code"),
        Field("Name", "text", "Name", required=True),
        Field("Family", "text", "Product family"),
        Field("IsActive", "boolean", "On sale"),
        *_TAIL,
    ),
)

_LINES = Field(
    "OpportunityLineItems",
    "object",
    "Order lines",
    fields=(
        Field(
            "records",
            "list",
            "Order lines",
            fields=(
                Field("Id", "text", "Line id", required=True),
                Field("Product2Id", "text", "Product"),
                Field("Quantity", "number", "Quantity"),
                Field("UnitPrice", "number", "Price of one unit"),
                Field("Discount", "number", "Discount in percent"),
                Field("TotalPrice", "number", "Line total"),
                Field("SortOrder", "integer", "Line number"),
            ),
        ),
    ),
)

_OPPORTUNITY = Stream(
    name="Opportunity",
    title="Opportunity with its order lines",
    key="Id",
    version=CHANGED,
    reads=True,
    receives=True,
    webhook_secret="organization_id",  # an outbound message names the organisation it is from
    webhook_types=("text/xml", "application/soap+xml", "application/xml"),
    writes=True,
    fields=(
        Field("Id", "text", "Record id", required=True),
        Field("Name", "text", "Name", required=True),
        Field("AccountId", "text", "Customer account"),
        Field("StageName", "text", "Sales stage", required=True),
        Field("CloseDate", "date", "Close date", required=True),
        Field("Amount", "number", "Deal value"),
        Field("CurrencyIsoCode", "text", "Currency"),
        Field("Region__c", "text", "Sales region"),
        Field("Order_Number__c", "text", "Order number"),
        Field("ERP_Order_Number__c", "text", "Sales order in the ERP"),
        Field("ERP_Invoice_Number__c", "text", "Invoice in the ERP"),
        Field("ERP_Status__c", "text", "Status in the ERP"),
        *_TAIL,
        _LINES,
    ),
    # The same values under the same record id, however often sent, come to the same row.
    idempotency=Idempotency("A"),
    facts={
        "ERP_Order_Number__c": "text",
        "ERP_Invoice_Number__c": "text",
        "ERP_Status__c": "text",
    },
    most_writes_per_call=MOST_ROWS_PER_CALL,
)

STREAMS: Mapping[str, Stream] = {one.name: one for one in (_ACCOUNT, _PRODUCT, _OPPORTUNITY)}
