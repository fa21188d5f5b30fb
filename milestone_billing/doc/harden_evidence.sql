-- Give the tables of evidence to a role that Odoo is not a member of. Odoo may then read and add, and erase personal
-- values; changing, deleting, emptying or dropping them, or switching their triggers off, is refused by PostgreSQL.
--
-- Run it once as a superuser, in the database, with Odoo stopped, after the addon is installed:
--     psql -d DATABASE -v odoo=ODOO_ROLE -v keeper=milestone_evidence -f harden_evidence.sql
-- Odoo's role must be no superuser and no member of the keeper's role. Updating the addon goes on as before. A version
-- that changes these tables says so in its history: run loosen_evidence.sql, update, run this again. So does uninstalling.
--
-- The database goes to the keeper too: its owner may drop what stands in its schema `public`. Odoo's database manager
-- can then neither drop nor duplicate this database.
\set ON_ERROR_STOP on
BEGIN;
SELECT format('CREATE ROLE %I NOLOGIN', :'keeper')
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'keeper') \gexec
SELECT rolsuper OR pg_has_role(oid, :'keeper', 'member') AS is_too_strong
  FROM pg_roles WHERE rolname = :'odoo' \gset
\if :is_too_strong
    \echo 'Odoo''s role is a superuser or a member of the keeper''s role: nothing would hold it back.'
    ROLLBACK;
    \quit 1
\endif

SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'keeper') \gexec
SELECT format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO %I', current_database(), :'odoo') \gexec
GRANT USAGE, CREATE ON SCHEMA public TO :"odoo";

CREATE TEMPORARY TABLE kept (name text, erasable text) ON COMMIT DROP;
INSERT INTO kept VALUES
    ('milestone_billing_evidence', NULL),
    ('milestone_billing_evidence_value', 'salt, value, erased_at'),
    ('milestone_billing_evidence_snapshot', 'body, erased_at'),
    ('milestone_billing_evidence_leaf', NULL),
    ('milestone_billing_evidence_checkpoint', NULL),
    ('milestone_billing_evidence_anchor', NULL);
SELECT format('ALTER TABLE %I OWNER TO %I', name, :'keeper') FROM kept \gexec
SELECT format('REVOKE ALL ON %I FROM PUBLIC, %I', name, :'odoo') FROM kept \gexec
SELECT format('GRANT SELECT, INSERT ON %I TO %I', name, :'odoo') FROM kept \gexec
SELECT format('GRANT UPDATE (%s) ON %I TO %I', erasable, name, :'odoo') FROM kept WHERE erasable IS NOT NULL \gexec
SELECT format('GRANT USAGE, SELECT ON SEQUENCE %I TO %I', name || '_id_seq', :'odoo') FROM kept \gexec
ALTER FUNCTION milestone_billing_evidence_guard() OWNER TO :"keeper";
COMMIT;
