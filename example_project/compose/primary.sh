# Run once, when the primary's files are made: let the standbys in.
echo "host replication all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
