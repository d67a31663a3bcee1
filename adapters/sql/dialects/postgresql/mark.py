from typing import Final

from sqlalchemy import BigInteger, Executable, Text, text

# The identity is another one
# - on another server: the system identifier,
# - after a point-in-time recovery, and after a failover, which may have lost the last commits: the timeline,
# - after a dump was restored into a new database, into new tables, or into emptied ones: the two oids, and the file.
#
# The position is how far the WAL is on the disk. It falls when the disk itself is set back to an older copy. The WAL
# that is only written may be lost in a crash, so that its position could fall without a restore.
#
# A standby has no position of its own, and gives NULL.
MARK: Final[Executable] = text(
    """
SELECT concat_ws('/',
           (SELECT system_identifier FROM pg_control_system()),
           substr(pg_walfile_name(wal.flushed), 1, 8),
           (SELECT oid FROM pg_database WHERE datname = current_database()),
           to_regclass('orders')::oid,
           pg_relation_filenode(to_regclass('orders'))
       ) AS identity,
       CAST(wal.flushed - '0/0'::pg_lsn AS bigint) AS position
FROM (SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END AS flushed) AS wal
"""
).columns(identity=Text(), position=BigInteger())

# Of the identity above, what no work on the tables changes: their files are made anew by a reset or a VACUUM FULL.
LINEAGE: Final[Executable] = text(
    """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN concat_ws('/',
           (SELECT system_identifier FROM pg_control_system()),
           substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8),
           (SELECT oid FROM pg_database WHERE datname = current_database()),
           to_regclass('orders')::oid
       ) END AS lineage
"""
).columns(lineage=Text())
