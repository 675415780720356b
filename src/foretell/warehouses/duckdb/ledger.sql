-- What Foretell keeps beside the tables it delivers to. Only transactions that first update a table's row of
-- lock may write to the table or to ledger: updates of one row conflict in DuckDB, inserts do not.
CREATE SCHEMA IF NOT EXISTS foretell;

-- One row a table. turn counts the transactions; a table that was claimed has an owner since one of them.
CREATE TABLE IF NOT EXISTS foretell.lock (
    scope VARCHAR PRIMARY KEY,
    turn BIGINT NOT NULL,
    owner VARCHAR,
    since BIGINT NOT NULL
);

-- One row a run, never deleted. date sorts as text; at is UTC.
CREATE TABLE IF NOT EXISTS foretell.ledger (
    uid VARCHAR NOT NULL,
    "table" VARCHAR NOT NULL,
    scope VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    date VARCHAR NOT NULL,
    n BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    run VARCHAR NOT NULL,
    attempt BIGINT NOT NULL,
    cause VARCHAR NOT NULL,
    turn BIGINT NOT NULL,
    "at" TIMESTAMP NOT NULL
);
