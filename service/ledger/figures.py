"""The metric families of the ledger, whichever engine keeps it: the same names say the same things of both."""

from __future__ import annotations

from typing import Final

from service.families import counter, gauge

OUTBOX_ROWS_PENDING: Final = gauge("qf_outbox_rows_pending", "Rows durable here and not shipped yet.")
OUTBOX_BYTES_PENDING: Final = gauge("qf_outbox_bytes_pending", "Bytes of these rows.")
OUTBOX_OLDEST_AGE_SECONDS: Final = gauge("qf_outbox_oldest_age_seconds", "Age of the oldest row that was not shipped.")
OUTBOX_WRITABLE: Final = gauge("qf_outbox_writable", "Workers whose outbox takes records.")
OUTBOX_FAILURES: Final = counter("qf_outbox_failures", "Records that could not be made durable; each was answered 503.")
OUTBOX_ORPHAN_ROWS_PENDING: Final = gauge(
    "qf_outbox_orphan_rows_pending", "Rows that dead workers left and nobody has shipped yet."
)
OUTBOX_DAMAGED: Final = counter(
    "qf_outbox_damaged", "Segments found damaged, or refused because the key holds other bytes."
)
ANSWERS_KEPT_BYTES: Final = gauge("qf_answers_kept_bytes", "Bytes of shipped answers kept on this host.")
ANSWERS_DROPPED_FILES: Final = counter(
    "qf_answers_dropped_files", "Files of shipped answers that made room before their days were over."
)
SHIPPED_ROWS: Final = counter("qf_shipped_rows", "Rows that reached the bucket.")
SHIPPING_FAILING: Final = gauge("qf_shipping_failing", "Tries in a row that the store refused.")

DATABASE_AWAY: Final = gauge("qf_database_away", "Workers that cannot write to the database now.")
DATABASE_CONNECTIONS: Final = gauge("qf_database_connections", "Connections to the database that workers hold.")
DATABASE_COMMITS: Final = counter("qf_database_commits", "Transactions that made a group of answers durable.")
DATABASE_COMMIT_SECONDS: Final = counter("qf_database_commit_seconds", "Seconds that these transactions took.")
DATABASE_RECONNECTIONS: Final = counter("qf_database_reconnections", "Connections that broke and were made again.")
DATABASE_SHIPPER: Final = gauge("qf_database_shipper", "Workers that ship for all hosts: one where all is well.")
