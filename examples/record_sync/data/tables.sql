-- The tables of the warehouse. The primary keys are what makes a repeated write harmless.
CREATE TABLE invoice (
    invoice_id text PRIMARY KEY,
    version int NOT NULL,
    customer_id bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    issue_date date NOT NULL,
    due_date date NOT NULL,
    period text NOT NULL,
    subtotal numeric(18,2) NOT NULL,
    tax numeric(18,2) NOT NULL,
    total numeric(18,2) NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE invoice_line (
    invoice_id text NOT NULL,
    line_no int NOT NULL,
    sku text NOT NULL,
    description text NOT NULL,
    qty numeric(18,4) NOT NULL,
    unit_price numeric(18,4) NOT NULL,
    amount numeric(18,2) NOT NULL,
    PRIMARY KEY (invoice_id, line_no)
);
