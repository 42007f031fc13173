from tieout.finance.record_types import RECORD_TYPES, SALES_ORDER, RecordField, RecordType
from tieout.rules.spec import FieldType, RecordTypeSpec

AMOUNTS_WITHOUT_A_FIELD = {("booking_line", "group_amount")}  # in the landscape's group currency


def test_the_well_known_fields_exist_and_have_the_right_type() -> None:
    for one in RECORD_TYPES.values():
        named = {
            "legal_entity": "text",
            "currency": "text",
            "amount": "amount",
            "date": "date",
            "status": "text",
        }
        for word, value_type in named.items():
            name = getattr(one, word)
            if name:
                found = one.field_named(name)
                assert found is not None, (one.name, word)
                assert found.type == value_type, (one.name, word)


def test_references_lead_to_record_types() -> None:
    assert SALES_ORDER.references() == (("customer", "customer"), ("lines.product", "product"))
    for one in RECORD_TYPES.values():
        assert all(to in RECORD_TYPES for _, to in one.references())


def test_every_amount_says_which_field_holds_its_currency() -> None:
    for record_type in RECORD_TYPES.values():
        for one in record_type.fields:
            inside = [(sub, "parent.") for sub in one.fields]
            for field, prefix in [(one, ""), *inside]:
                known = field.type != "amount" or field.money_in == prefix + record_type.currency
                assert known or (record_type.name, field.name) in AMOUNTS_WITHOUT_A_FIELD


def test_names_are_unique_and_titled() -> None:
    for record_type in RECORD_TYPES.values():
        assert RECORD_TYPES[record_type.name] is record_type
        for fields in (record_type.fields, *(one.fields for one in record_type.fields)):
            names = [one.name for one in fields]
            assert len(names) == len(set(names))
            assert all(one.title for one in fields)


def test_rules_add_governance_to_the_same_words() -> None:
    assert FieldType is RecordField
    governed = RecordTypeSpec("deal", "Deal", SALES_ORDER.fields, amount="total", steward="ops")
    assert isinstance(governed, RecordType)
    assert governed.references() == SALES_ORDER.references()
    assert governed.field_named("total") == SALES_ORDER.field_named("total")
    assert governed.field_named("nothing") is None
    assert (governed.owned, governed.controls) == ({}, ())
