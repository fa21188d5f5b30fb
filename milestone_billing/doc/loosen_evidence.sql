-- Undo harden_evidence.sql: before an update of the addon that changes its tables, and before uninstalling it.
--     psql -d DATABASE -v odoo=ODOO_ROLE -f loosen_evidence.sql
\set ON_ERROR_STOP on
BEGIN;
SELECT format('ALTER DATABASE %I OWNER TO %I', current_database(), :'odoo') \gexec
SELECT format('ALTER TABLE %I OWNER TO %I', tablename, :'odoo')
  FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^milestone_billing_evidence' \gexec
ALTER FUNCTION milestone_billing_evidence_guard() OWNER TO :"odoo";
COMMIT;
