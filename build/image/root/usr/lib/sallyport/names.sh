#!/bin/sh
# names.sh STATE RESOLV.CONF: writes the name servers in networkd's state in the format of
# resolv.conf(5), of which programs read at most three.
set -eu
servers=""
while IFS='=' read -r name value; do [ "$name" = DNS ] && servers=$value; done < "$1" || true
for server in $servers; do
  case $server in *[!0-9a-fA-F.:%a-z]*) ;; *) echo "nameserver $server" ;; esac
done > "$2.new"
mv "$2.new" "$2"
