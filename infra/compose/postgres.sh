#!/bin/sh
# Runs once, when the data folder is empty: a role and a database each for MLflow and Prefect, and neither sees the
# other's. Also run by hand against a server that exists: what is there is left as it is.
set -eu
: "${MLFLOW_DATABASE_PASSWORD:?}" "${PREFECT_DATABASE_PASSWORD:?}"

# The passwords are letters and digits (infra/compose/passwords.py); psql quotes them all the same.
psql -v ON_ERROR_STOP=1 -q --username "$POSTGRES_USER" --dbname postgres \
  -v mlflow="$MLFLOW_DATABASE_PASSWORD" -v prefect="$PREFECT_DATABASE_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE mlflow LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mlflow') \gexec
SELECT 'CREATE ROLE prefect LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prefect') \gexec
ALTER ROLE mlflow PASSWORD :'mlflow';
ALTER ROLE prefect PASSWORD :'prefect';
SELECT 'CREATE DATABASE mlflow OWNER mlflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow') \gexec
SELECT 'CREATE DATABASE mlflow_users OWNER mlflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow_users') \gexec
SELECT 'CREATE DATABASE prefect OWNER prefect' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'prefect') \gexec
REVOKE CONNECT ON DATABASE mlflow, mlflow_users, prefect FROM PUBLIC;
SQL
