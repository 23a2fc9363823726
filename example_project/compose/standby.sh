# A hot standby of the server at $PRIMARY, with its files in $PGDATA. Arguments go to postgres.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    chmod 700 "$PGDATA"
    pg_basebackup --dbname="$PRIMARY" --pgdata="$PGDATA" --write-recovery-conf --checkpoint=fast
fi
exec postgres "$@"
