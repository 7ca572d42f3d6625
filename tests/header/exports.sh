#!/bin/sh
# exports.sh NM LIBRARY: every symbol that the shared library exports starts with blip2_, and there
# are some.
set -eu
exported=$("$1" -D --defined-only "$2" | awk '{ print $NF }')
[ -n "$exported" ] || { echo "no exported symbols in $2"; exit 1; }
foreign=$(printf '%s\n' "$exported" | grep -v '^blip2_' || true)
[ -z "$foreign" ] || { echo "exported beside blip2_*: $foreign"; exit 1; }
